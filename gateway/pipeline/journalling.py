"""Journalling: writes that a making must not go without, tried until the store takes them."""

import random
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from gateway.pipeline.crew import Crew
from gateway.ports import Clock, StoreDown, Telemetry

_LONGEST_BACKOFF = 8.0
_FIRST_BACKOFF = 0.2

_Answer = TypeVar("_Answer")
_Arguments = ParamSpec("_Arguments")


class Journalling:
    def __init__(self, crew: Crew, clock: Clock, telemetry: Telemetry) -> None:
        self._crew = crew
        self._clock = clock
        self._telemetry = telemetry

    async def before(
        self, write: Callable[_Arguments, Awaitable[_Answer]], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Answer:
        """What comes before a submit leaves. Raises Stopping: the next start can do it as well."""
        return await self._insist(self._crew.rest, lambda: write(*args, **kwargs))

    async def surely(
        self, write: Callable[_Arguments, Awaitable[_Answer]], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Answer:
        """What the upstream did must not be forgotten: also while the gateway stops, until the crew cuts it."""
        return await self._insist(self._clock.sleep, lambda: write(*args, **kwargs))

    async def _insist(
        self, rest: Callable[[float], Awaitable[None]], write: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        tries = 0
        while True:
            try:
                return await write()
            except StoreDown as error:
                tries += 1
                self._telemetry.log("error", "store_down", {"error": str(error)})
                await rest(backoff(tries))


def backoff(tries: int) -> float:
    """Full jitter: anything up to 0.2 s, 0.4 s, … 8 s."""
    return random.uniform(0, min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2**tries))  # noqa: S311 - spreads load, guards nothing
