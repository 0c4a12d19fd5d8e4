"""Who asks: from a bearer token to a caller, or 401. Fails closed: a store that cannot answer admits nobody."""

import hmac
from dataclasses import dataclass, field

from gateway.core import keys as key_form
from gateway.core.allowed import Allowed
from gateway.core.errors import InvalidApiKey
from gateway.core.rate import UNLIMITED, Defaults, Limit
from gateway.pipeline.crew import Crew
from gateway.ports import Clock, Key, Keys, Team

_ABSENT = b"\0" * 32
#: ms between two notes of when a key was used
_NOTE_EVERY = 60_000


@dataclass(frozen=True, slots=True)
class Caller:
    key_id: str
    team: str
    allowed: Allowed = field(default_factory=Allowed)
    #: its own and its team's
    limits: tuple[Limit, ...] = ()


class Admission:
    def __init__(self, keys: Keys, peppers: tuple[bytes, ...], clock: Clock, crew: Crew) -> None:
        """`peppers`: one for each secret of the ring, the first hashes new keys."""
        self._keys = keys
        self._peppers = peppers
        self._clock = clock
        self._crew = crew
        #: when each key's use was last noted by us
        self._noted: dict[str, int] = {}
        #: the last caller of each key, with what it was made of: a store that keeps its keys at hand finds the same ones again
        self._callers: dict[str, tuple[tuple[Key, Team], Defaults, Caller]] = {}

    async def identify(self, token: str | None, defaults: Defaults = UNLIMITED) -> Caller:
        """`defaults`: the limits of keys and teams that set none. Raises InvalidApiKey; whatever is wrong with a key that was
        given, its client is told the same."""
        key_id = key_form.key_id(token) if token else None
        if token is None or key_id is None:
            raise _refused("malformed" if token else "missing", None)
        found = await self._keys.find_key(key_id)
        digests = [key_form.digest(pepper, token) for pepper in self._peppers]
        # an unknown id is compared as well, and a key without an old secret twice: all take as long as a wrong secret
        newest = _match(found[0].digest if found else None, digests)
        stored = _match(found[0].old_digest if found else None, digests) if newest is None else newest
        if found is None or stored is None:
            raise _refused("unknown", key_id)
        (key, team), now = found, self._clock.now()
        if newest is None and now >= (key.old_until or 0):
            raise _refused("rotated", key_id)
        state = key.state(team, now)
        if state != "active":
            raise _refused(state, key_id)
        if stored != digests[0]:
            await self._keys.replace_digest(key_id, stored, digests[0])
        self._note(key, now)
        return self._caller(found, defaults)

    async def live(self, key_id: str) -> Key | None:
        """The key, if it may still be used: picture URLs die with it."""
        found = await self._keys.find_key(key_id)
        return found[0] if found is not None and found[0].state(found[1], self._clock.now()) == "active" else None

    def _caller(self, found: tuple[Key, Team], defaults: Defaults) -> Caller:
        key, team = found
        known = self._callers.get(key.id)
        if known is None or known[0] is not found or known[1] is not defaults:
            limits = defaults.of(key.id, key.limits, team.name, team.limits)
            known = self._callers[key.id] = found, defaults, Caller(key.id, key.team, key.allowed, limits)
        return known[2]

    def _note(self, key: Key, now: int) -> None:
        """Once a minute at most, by a task of the crew: the request does not wait for the write."""
        if now - max(key.last_used_at or 0, self._noted.get(key.id, 0)) >= _NOTE_EVERY:
            self._noted[key.id] = now
            self._crew.start(f"use of {key.id}", self._keys.used_key(key.id, now))


def _match(stored: bytes | None, digests: list[bytes]) -> bytes | None:
    """`stored`, if it is one of them."""
    equal = [hmac.compare_digest(stored or _ABSENT, digest) for digest in digests]
    return stored if any(equal) else None


def _refused(reason: str, key_id: str | None) -> InvalidApiKey:
    message = "Incorrect API key provided."
    if reason == "missing":
        message = "You didn't provide an API key: send it as 'Authorization: Bearer YOUR_KEY'."
    return InvalidApiKey(message, reason=reason, key_id=key_id)
