"""What no request tells: budgets, drift, unconfirmed money and the loop's lag, looked up now and then."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.ports import Clock, Jobs, Ledger, StoreDown
from gateway.telemetry.recorder import Recorder

_ROUND = 15.0
#: rounds between two full comparisons of ledger and counters, which read every row
_DRIFT_ROUNDS = 20


class Watch:
    def __init__(self, ledger: Ledger, jobs: Jobs, recorder: Recorder, clock: Clock) -> None:
        self._ledger = ledger
        self._jobs = jobs
        self._recorder = recorder
        self._clock = clock

    async def run(self, rest: Callable[[float], Awaitable[None]]) -> None:
        """Until `rest` raises."""
        rounds = 0
        while True:
            try:
                await self._look(drift=rounds % _DRIFT_ROUNDS == 0)
            except StoreDown as error:
                self._recorder.log("error", "store_down", {"error": str(error)})
            rounds += 1
            loop = asyncio.get_running_loop()
            due = loop.time()
            await asyncio.sleep(0)
            self._recorder.loop_lag(loop.time() - due)
            await rest(_ROUND)

    async def _look(self, *, drift: bool) -> None:
        now = self._clock.now()
        self._recorder.budgets(await self._ledger.budgets(None, now))
        self._recorder.unconfirmed(await self._jobs.unconfirmed_total())
        submitted = [
            attempt.submitted_at
            for job in await self._jobs.open_jobs()
            for attempt in job.attempts
            if attempt.submitted_at is not None and attempt.ended_at is None
        ]
        self._recorder.oldest_uncollected((now - min(submitted)) / 1000 if submitted else 0.0)
        if drift:
            amount = await self._ledger.drift()
            self._recorder.drift(amount)
            if amount:
                self._recorder.log("error", "ledger_drift", {"microdollars": amount})
