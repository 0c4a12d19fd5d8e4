"""Attempts that were refused and will be tried again: their retry is owed a run of its own, not an older order's picture."""

from collections import OrderedDict, deque
from dataclasses import dataclass

from gateway.core.errors import GatewayError
from gateway.pipeline.call import Call
from gateway.ports import Clock

#: Calls remembered, and refusals of each; the oldest go first.
_CALLS, _OF_EACH = 10_000, 100
#: Seconds after which an SDK has tried again what it was told nothing of, and the margin for what it was told.
_BACKOFF, _MARGIN = 8.0, 2.0


@dataclass(frozen=True, slots=True)
class _Refused:
    """`at` and `until` in ms since the epoch: later than `until` no SDK comes back for it."""

    retry_count: int
    at: int
    until: int


class Refusals:
    """Kept in this process alone: a retry that reaches another replica, or comes after a restart, may be given an older
    order of the very same body, which is what it would have been given without any of this.

    One that nobody retries ends soon: until then a retry of an equal call that was made would be taken for its, and bought
    a second time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: by key and body
        self._refused: OrderedDict[tuple[str, str], deque[_Refused]] = OrderedDict()

    def note(self, key_id: str, call: Call, error: GatewayError) -> None:
        """An attempt was refused in a way that asks for another."""
        now = self._clock.now()
        seconds = _MARGIN * max(error.retry_after or 0.0, _BACKOFF)
        call_of = (key_id, call.body_hash)
        refused = self._refused.setdefault(call_of, deque(maxlen=_OF_EACH))
        refused.append(_Refused(call.retry_count, now, now + round(seconds * 1000)))
        self._refused.move_to_end(call_of)
        if len(self._refused) > _CALLS:
            self._refused.popitem(last=False)

    def take(self, key_id: str, call: Call) -> int | None:
        """When the newest attempt was refused that this may be the retry of, in ms since the epoch; told once."""
        now = self._clock.now()
        refused = self._refused.pop((key_id, call.body_hash), deque())
        open_ = deque((each for each in refused if each.until >= now), maxlen=_OF_EACH)
        newest = next((each for each in reversed(open_) if each.retry_count < call.retry_count), None)
        if newest is not None:
            open_.remove(newest)
        if open_:
            self._refused[key_id, call.body_hash] = open_
        return newest.at if newest is not None else None
