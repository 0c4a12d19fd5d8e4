"""Flights: jobs being made, in this replica or expected from another, and the clients waiting here for each."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.core.job import Attempt
from gateway.core.phases import Phase, PhaseMarks
from gateway.pipeline.crew import Crew
from gateway.ports import Clock, Told

Ending = Literal["landed", "late", "gone", "stopping"]


@dataclass(slots=True)
class Flight:
    #: made here, and not by another replica
    ours: bool
    waiters: set[asyncio.Future[Ending | Told]] = field(default_factory=set)
    #: 0 to 1, as the provider last said
    progress: float = 0.0
    #: where the time of each part goes, as far as it is made here
    making: dict[int, PhaseMarks] = field(default_factory=dict)
    #: the job made whole: no part of it changes any more
    made: Told | None = None


class Flights:
    def __init__(self, clock: Clock, crew: Crew) -> None:
        self._clock = clock
        self._crew = crew
        self._flights: dict[str, Flight] = {}
        crew.on_stopping(self._stop)

    def open(self, job_id: str) -> None:
        """It is made here from now on, also when it was expected from a replica that died."""
        self._flights.setdefault(job_id, Flight(ours=True)).ours = True

    def expect(self, job_id: str) -> bool:
        """It is made by another replica, unless it is made here; whether that is so."""
        return not self._flights.setdefault(job_id, Flight(ours=False)).ours

    def knows(self, job_id: str) -> bool:
        """Is it made here, or expected?"""
        return job_id in self._flights

    def makes(self, job_id: str) -> bool:
        """Is it being made here?"""
        flight = self._flights.get(job_id)
        return flight is not None and flight.ours

    def expected(self) -> list[str]:
        """The jobs of other replicas for which somebody waits here."""
        return [job_id for job_id, flight in self._flights.items() if not flight.ours]

    def progress(self, job_id: str) -> float:
        flight = self._flights.get(job_id)
        return flight.progress if flight else 0.0

    def advance(self, job_id: str, progress: float) -> None:
        flight = self._flights.get(job_id)
        if flight is not None:
            flight.progress = max(flight.progress, min(progress, 0.99))

    def enter(self, attempt: Attempt, phase: Phase) -> None:
        """A part that is made here goes on to its next phase; `answer` is its end."""
        flight = self._flights.get(attempt.job_id)
        if flight is not None:
            flight.making.setdefault(attempt.part, PhaseMarks()).enter(phase, self._clock.monotonic())

    def making(self, job_id: str) -> Mapping[int, PhaseMarks]:
        """Where the time of its parts goes, to be read when it has landed; of what is made elsewhere nothing is known."""
        flight = self._flights.get(job_id)
        return flight.making if flight is not None else {}

    def settled(self, told: Told) -> None:
        """A part of a job was settled: if that has made it whole, whoever needs it does not ask the store for it."""
        flight = self._flights.get(told.job.id)
        if flight is not None and told.job.whole:
            flight.made = told

    def made(self, job_id: str) -> Told | None:
        flight = self._flights.get(job_id)
        return flight.made if flight is not None else None

    def abandoned(self, job_id: str) -> bool:
        """Has the last client of a job that is made here gone? Clients of other replicas are not known."""
        flight = self._flights.get(job_id)
        return flight is not None and flight.ours and not flight.waiters

    def hand_on(self, job_id: str) -> None:
        """It is made here no longer, and has not ended as far as is known: whoever waits goes on to expect it."""
        flight = self._flights.get(job_id)
        if flight is not None:
            flight.ours = False
            self._forget_unless_awaited(job_id, flight)

    def land(self, job_id: str, told: Told | None = None) -> None:
        """The job has ended, and its end is in the store: wake whoever waits. `told`: as it was read there just now."""
        flight = self._flights.pop(job_id, None)
        if flight is not None:
            _wake(flight, told or "landed")

    def _stop(self) -> None:
        """Waiting clients are answered now, the jobs go on with the next start."""
        for flight in self._flights.values():
            _wake(flight, "stopping")

    async def wait(self, job_id: str, seconds: float, gone: asyncio.Future[None] | None = None) -> Ending | Told:
        """Until the job lands (as it was told then, if it was), the client is `gone`, the gateway is `stopping`, or `seconds`
        have passed (`late`)."""
        flight = self._flights.get(job_id)
        if flight is None:
            return "landed"
        if self._crew.stopping:
            return "stopping"
        waiter: asyncio.Future[Ending | Told] = asyncio.get_running_loop().create_future()
        flight.waiters.add(waiter)

        def leave(_: asyncio.Future[None]) -> None:
            _end(waiter, "gone")

        if gone is not None:
            gone.add_done_callback(leave)
        try:
            async with self._clock.timeout(seconds):
                return await waiter
        except TimeoutError:
            return "late"
        finally:
            flight.waiters.discard(waiter)
            self._forget_unless_awaited(job_id, flight)
            if gone is not None:
                gone.remove_done_callback(leave)

    def _forget_unless_awaited(self, job_id: str, flight: Flight) -> None:
        if not (flight.ours or flight.waiters):
            self._flights.pop(job_id, None)


def _wake(flight: Flight, ending: Ending | Told) -> None:
    for waiter in flight.waiters:
        _end(waiter, ending)


def _end(waiter: asyncio.Future[Ending | Told], ending: Ending | Told) -> None:
    if not waiter.done():
        waiter.set_result(ending)
