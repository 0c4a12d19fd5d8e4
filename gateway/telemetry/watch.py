"""What no request tells: keys, budgets, drift, unconfirmed money and the loop's lag, looked up now and then."""

from collections.abc import Awaitable, Callable
from itertools import count

from gateway.ports import Clock, Jobs, Keys, Ledger, StoreDown
from gateway.telemetry.recorder import Recorder

#: seconds of sleep whose lateness is the loop's lag, and how many of them lie between two looks
_NAP = 0.5
_NAPS = 30
#: looks between two comparisons of ledger and counters: the first at the start
_DRIFT_LOOKS = 20

Rest = Callable[[float], Awaitable[None]]


class Watch:
    def __init__(self, keys: Keys, ledger: Ledger, jobs: Jobs, recorder: Recorder, clock: Clock) -> None:
        self._keys = keys
        self._ledger = ledger
        self._jobs = jobs
        self._recorder = recorder
        self._clock = clock

    async def run(self, rest: Rest) -> None:
        """Until `rest` raises."""
        for look in count():
            try:
                await self._look(drift=look % _DRIFT_LOOKS == 0)
            except StoreDown as error:
                self._recorder.log("error", "store_down", {"error": str(error)})
            for _ in range(_NAPS):
                await self._nap(rest)

    async def _nap(self, rest: Rest) -> None:
        due = self._clock.monotonic() + _NAP
        await rest(_NAP)
        self._recorder.loop_lag(self._clock.monotonic() - due)

    async def _look(self, *, drift: bool) -> None:
        now = self._clock.now()
        await self._look_for_keys()
        self._recorder.budgets(await self._ledger.budgets(None, now))
        self._recorder.unconfirmed(await self._jobs.unconfirmed_total())
        oldest = await self._jobs.oldest_submitted()
        self._recorder.oldest_uncollected(0.0 if oldest is None else (now - oldest) / 1000)
        if drift:
            amount = await self._ledger.drift()
            self._recorder.drift(amount)
            if amount:
                self._recorder.log("error", "ledger_drift", {"microdollars": amount})

    async def _look_for_keys(self) -> None:
        """Those that another replica has made begin at 0 here, too: `increase()` would miss the first order of each."""
        if not self._recorder.knows_no_more_keys:
            for key in await self._keys.list_keys():
                self._recorder.known_key(key.team, key.id)
