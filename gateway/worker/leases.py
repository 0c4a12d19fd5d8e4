"""Keeping what is in hand: a word of each piece every third of its lease, whatever the engine does meanwhile.

The answers are how a worker hears that a piece was cancelled, or is another's by now.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.core.worker_messages import Progress
from gateway.ports import Clock
from gateway.worker.errands import Errand
from gateway.worker.gateway_link import Declined, GatewayLink, NotOurs
from gateway.worker.origin_calls import Unreachable

#: Seconds between two looks, and after which a step is told.
_LOOK = 1.0
#: The shortest lease that is reckoned with, in seconds. A gateway whose store was slow grants what is left of one, down to
#: nothing: that is to be extended at once, by a call that has the time to be answered, and not looked at all the time.
_SHORTEST = 1.0


class Leases:
    """`lost` is called with what is the claim's no more, `cancelled` with what is still, and unwanted."""

    def __init__(
        self,
        link: GatewayLink,
        clock: Clock,
        hand: set[Errand],
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        lost: Callable[[Errand], None],
        cancelled: Callable[[Errand], None],
    ) -> None:
        self._link = link
        self._clock = clock
        self._hand = hand
        self._spawn = spawn
        self._lost = lost
        self._cancelled = cancelled
        self._speaking: set[Errand] = set()

    async def keep(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep(min([_LOOK, *(max(errand.lease, _SHORTEST) / 6 for errand in self._hand)]))
            now = self._clock.monotonic()
            for errand in self._hand - self._speaking:
                if errand.wanted and _due(errand, now):
                    self._speaking.add(errand)
                    # each a task of its own: an answer that is late makes no other one late
                    self._spawn(self._extend(errand))

    async def _extend(self, errand: Errand) -> None:
        now, step = self._clock.monotonic(), errand.step
        said = Progress(attempt=errand.work.attempt, claim=errand.claim, step=step, of=errand.of)
        try:
            answer = await self._link.progress(said, max(errand.lease / 3, _SHORTEST))
        except Unreachable:
            return  # at the next look again
        except (NotOurs, Declined):
            self._given_away(errand, said)
            return
        finally:
            self._speaking.discard(errand)
        if answer.lease_ms == 0:
            self._given_away(errand, said)
        elif answer.cancelled:
            self._cancelled(errand)
        else:
            errand.said, errand.told_step, errand.lease = now, step, answer.lease_ms / 1000

    def _given_away(self, errand: Errand, said: Progress) -> None:
        if errand.claim == said.claim:  # else to us, by another claim
            self._lost(errand)


def _due(errand: Errand, now: float) -> bool:
    third, silent = errand.lease / 3, now - errand.said
    return silent >= third or (errand.step != errand.told_step and silent >= min(_LOOK, third))
