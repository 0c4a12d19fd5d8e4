"""Limits a minute by GCRA: one instant a scope says how far its allowance is used up, and so exactly when there is room.

A limit of `most` a minute lets that many through at once after a quiet minute, and one more every 60 s / `most`: in any
window of w minutes at most `most` × (1 + w).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["requests_per_minute", "images_per_minute", "images_in_flight"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WORDS: dict[Kind, str] = {
    "requests_per_minute": "requests a minute",
    "images_per_minute": "images a minute",
    "images_in_flight": "images in flight",
}

_MINUTE = 60_000_000
#: The largest limit: one every 60 µs.
MOST = 1_000_000
#: ms after which to ask again for room that running jobs leave when they end: nobody knows when.
IN_FLIGHT_WAIT = 1000
#: Longer than any limit can be used up for; who seems to be was counted before the clock was set back.
_ABSURD = 2 * _MINUTE


@dataclass(frozen=True, slots=True)
class Limit:
    """One that holds for `team:NAME` or `key:ID`; `most` is 1 to MOST."""

    scope: str
    kind: Kind
    most: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key or a team sets for itself; None: whatever the policies say, 0: no limit."""

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    images_in_flight: int | None = None

    def over(self, default: "Limits") -> "Limits":
        """These, and where they say nothing `default`."""
        return Limits(
            *(mine if mine is not None else other for mine, other in zip(self.values, default.values, strict=True))
        )

    def of(self, scope: str) -> tuple[Limit, ...]:
        """Those there are, as limits of `scope`."""
        return tuple(Limit(scope, kind, most) for kind, most in zip(KINDS, self.values, strict=True) if most)

    @property
    def values(self) -> tuple[int | None, ...]:
        """In the order of KINDS."""
        return self.requests_per_minute, self.images_per_minute, self.images_in_flight


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for every key, and for every team, that sets nothing for itself."""

    keys: Limits = Limits()
    teams: Limits = Limits()

    def of(self, key_id: str, own: Limits, team: str, teams: Limits) -> tuple[Limit, ...]:
        """All limits that a request of the key is under."""
        return own.over(self.keys).of(f"key:{key_id}") + teams.over(self.teams).of(f"team:{team}")


#: Nobody is limited but by its own.
UNLIMITED = Defaults()


@dataclass(frozen=True, slots=True)
class Room:
    """What a limit a minute still admits at once; after `reset` ms without a request it is whole again."""

    limit: int
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One limit's verdict. Admitted: `wait` is 0 and `until` is to be kept, the instant (µs) until which the allowance is
    now used up. Refused: nothing is to be kept, and asking again after `wait` ms succeeds; None: never, it is too much."""

    limit: Limit
    wait: int | None
    until: int
    room: Room


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The limit that refuses for longest (`wait` as a Turn's), and the room that is left, where it is known."""

    limit: Limit
    wait: int | None
    room: Room | None


def ask(limit: Limit, until: int, now: int, count: int) -> Turn:
    """Is there room for `count` more at `now`? `until` is what was kept, 0 at first; both in µs of one clock."""
    each = -(-_MINUTE // limit.most)
    whole = limit.most * each
    used = until - now
    if not 0 < used <= _ABSURD:
        used = 0
    over = used + count * each - whole
    if count > limit.most:
        return Turn(limit, None, until, _room(limit.most, each, used))
    if over > 0:
        return Turn(limit, _ms(over), until, _room(limit.most, each, used))
    used += count * each
    return Turn(limit, 0, now + used, _room(limit.most, each, used))


def strictest(turns: Sequence[Turn]) -> Exceeded | Room | None:
    """One verdict of several limits of a kind: admitted by all with the least room, or refused; None: no limit."""
    refusing = [turn for turn in turns if turn.wait != 0]
    rooms = (turn.room for turn in refusing or turns)  # whoever refuses has less than any that does not
    room = min(rooms, key=lambda room: (room.remaining, -room.reset, room.limit), default=None)
    return longest(Exceeded(turn.limit, turn.wait, room) for turn in refusing) or room


def longest(refused: Iterable[Exceeded]) -> Exceeded | None:
    """The one for which waiting must be longest."""
    return max(refused, key=lambda each: (each.wait is None, each.wait or 0), default=None)


def judge_order(
    kept: Sequence[tuple[Limit, int]], now: int, images: int
) -> tuple[Exceeded | Room | None, Sequence[Turn]]:
    """May so many images be ordered at `now` (µs)? And the turns, whose `until` are to be kept if they may.

    With each limit what is kept of its scope: the instant of one a minute, the images of one in flight.
    """
    turns = _turns(kept, now, images)
    verdict = strictest(turns)
    full = [
        Exceeded(limit, IN_FLIGHT_WAIT if images <= limit.most else None, None)
        for limit, flying in kept
        if limit.kind == "images_in_flight" and flying + images > limit.most
    ]
    refused = longest(each for each in (verdict, *full) if isinstance(each, Exceeded))
    if refused is None:
        return verdict, turns
    untouched = strictest(_turns(kept, now, 0))
    return replace(refused, room=untouched if isinstance(untouched, Room) else None), ()


def duration(ms: int) -> str:
    """As OpenAI writes it in `x-ratelimit-reset-*`: `120ms`, `1.5s`, `6m0s`."""
    if ms < 1000:  # noqa: PLR2004 - a second
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    seconds = f"{rest // 1000}" + (f".{rest % 1000:03}".rstrip("0") if rest % 1000 else "")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _turns(kept: Sequence[tuple[Limit, int]], now: int, images: int) -> list[Turn]:
    return [ask(limit, until, now, images) for limit, until in kept if limit.kind == "images_per_minute"]


def _room(most: int, each: int, used: int) -> Room:
    return Room(most, max(0, most - -(-used // each)), _ms(used))


def _ms(us: int) -> int:
    """Rounded up: who waits so long has waited long enough."""
    return -(-us // 1000)
