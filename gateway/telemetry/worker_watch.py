"""The queue and the workers, looked at now and then: what no request tells of them."""

from collections import Counter

from gateway.core.worker_batch import model_of
from gateway.ports import Clock, Fields, Overview, Queue, StoreDown
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.roster import Change, Roster
from gateway.telemetry.worker_gauges import Seen

#: Seconds between two looks; a worker tells of itself as often.
LOOK = 5.0

_LEVELS = {"worker_came": "info", "worker_left": "info", "worker_missed": "warning"}


class WorkerWatch:
    def __init__(self, queue: Queue, recorder: Recorder, clock: Clock) -> None:
        self._queue = queue
        self._recorder = recorder
        self._clock = clock
        self._roster = Roster()

    async def look(self) -> None:
        began = self._clock.monotonic()
        try:
            overview = await self._queue.overview()
        except StoreDown:
            return  # whoever needs it more says so; what was seen last is told until it is back
        for change in self._roster.look(began, self._clock.monotonic(), overview.workers):
            self._recorder.log(_LEVELS[change.event], change.event, _fields(change))
        self._recorder.workers(self._seen(overview))

    def _seen(self, overview: Overview) -> Seen:
        """By the models of whoever told of them; they may be any."""
        label = self._recorder.model_label
        waiting, oldest = Counter[str](), dict[str, float]()
        for line, depth in overview.lines.items():
            model = label(model_of(line))
            waiting[model] += depth.waiting
            oldest[model] = max((depth.oldest_age or 0) / 1000, oldest.get(model, 0.0))
        states = Counter((label(presence.model), state) for presence, state in self._roster.states())
        return Seen(waiting, oldest, states, [live.presence for live in overview.workers])


def _fields(change: Change) -> Fields:
    presence = change.presence
    fields: dict[str, str | float] = {
        "worker": presence.worker,
        "model": presence.model,
        "engine": presence.engine,
        "gpu": presence.gpu,
    }
    return {**fields, "silent_seconds": round(change.silent)} if change.silent else fields
