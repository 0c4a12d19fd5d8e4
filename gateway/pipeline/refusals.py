"""Attempts that were refused and will be tried again: their retry is owed a run of its own, not an older order's picture."""

from collections import OrderedDict

from gateway.pipeline.call import Call
from gateway.ports import Clock

#: Calls remembered; the oldest go first.
_MOST = 10_000

_Key = tuple[str, str]


class Refusals:
    """Kept in this process alone: a retry that reaches another replica, or comes after a restart, may be given an older
    order of the very same body, which is what it would have been given without any of this."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: by key and body: each refused attempt's retry count, and when it was refused
        self._refused: OrderedDict[_Key, list[tuple[int, int]]] = OrderedDict()

    def note(self, key_id: str, call: Call) -> None:
        """An attempt was refused in a way that asks for another."""
        self._refused.setdefault((key_id, call.body_hash), []).append((call.retry_count, self._clock.now()))
        self._refused.move_to_end((key_id, call.body_hash))
        if len(self._refused) > _MOST:
            self._refused.popitem(last=False)

    def take(self, key_id: str, call: Call) -> int | None:
        """When the newest attempt was refused that this may be the retry of, in ms since the epoch; told once."""
        attempts = self._refused.get((key_id, call.body_hash), [])
        earlier = [attempt for attempt in attempts if attempt[0] < call.retry_count]
        if not earlier:
            return None
        newest = max(earlier, key=lambda attempt: attempt[1])
        attempts.remove(newest)
        if not attempts:
            del self._refused[key_id, call.body_hash]
        return newest[1]
