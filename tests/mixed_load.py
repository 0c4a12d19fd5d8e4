"""A mixed load over real HTTP: whatever a gateway is asked in a day, in a minute or less, and a tally of what it answered.

What is asked, and in which order, follows from a seed. Every kind comes up in each round of the deck, so that a short load has
them all. It stops by itself, after so many seconds or calls.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from random import Random

import aiohttp
from load_client import PATIENCE, Client, Keys, Tally
from load_kinds import DECK

__all__ = ["TROUBLE_UPSTREAM", "Keys", "Tally", "drive", "surprises"]

#: Answers that a faulty upstream brings about, however right the gateway is.
TROUBLE_UPSTREAM = frozenset(
    {"502 upstream_error", "502 upstream_unconfirmed", "503 upstream_unavailable", "503 no_capacity"}
    | {"200 upstream_error", "200 upstream_unconfirmed"}  # of a stream that had begun
)


def surprises(tally: Tally, allowed: frozenset[str] = TROUBLE_UPSTREAM) -> Counter[str]:
    """What should not have been said to that kind, beside what a faulty upstream may bring about: `kind: answer`."""
    return Counter(
        {
            f"{kind}: {said}": often
            for kind, answers in tally.kinds.items()
            for said, often in answers.said.items()
            if said not in DECK[kind].right and not (said in allowed and DECK[kind].made)
        }
    )


async def drive(  # noqa: PLR0913 - what a load can be told, by name
    urls: Sequence[str],
    keys: Keys,
    *,
    seconds: float | None = None,
    calls: int | None = None,
    clients: int = 12,
    rate: float = 10.0,
    seed: int = 7,
    on_answer: Callable[[Tally], object] = lambda _: None,
    kinds: frozenset[str] | None = None,
) -> Tally:
    """`clients` at once ask the gateways in turn, `rate` calls a second at most, until either bound is reached; whoever
    waits then has its answer. `on_answer` hears after each. `kinds`: only those of DECK."""
    if seconds is None and calls is None:
        raise ValueError("a load wants an end: seconds or calls")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(PATIENCE)
    ) as session:
        client = Client(session, cycle(urls), keys, f"load {seed}", on_answer)
        deck = [kind for kind, each in DECK.items() if kinds is None or kind in kinds for _ in range(each.often)]
        plan = _Deck(deck, Random(seed), calls, seconds, 1 / rate)
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(_play(plan, client))
    return client.tally


async def _play(plan: "_Deck", client: Client) -> None:
    while (drawn := await plan.draw()) is not None:
        kind, dice = drawn
        await DECK[kind].ask(client, dice)


@dataclass
class _Deck:
    """Calls in an order that the dice say, each at its moment."""

    kinds: Sequence[str]
    dice: Random
    calls: int | None
    seconds: float | None
    pause: float
    began: float = field(default_factory=time.monotonic)
    _drawn: int = 0
    _left: list[str] = field(default_factory=list)

    async def draw(self) -> tuple[str, Random] | None:
        """The next kind and its own dice, when its time has come; None: it is over."""
        number, self._drawn = self._drawn, self._drawn + 1
        if self.calls is not None and number >= self.calls:
            return None
        moment = self.began + number * self.pause
        if self.seconds is not None and max(moment, time.monotonic()) >= self.began + self.seconds:
            return None
        if not self._left:
            self._left = self.dice.sample(self.kinds, len(self.kinds))
        drawn = self._left.pop(), Random(self.dice.random())
        await asyncio.sleep(moment - time.monotonic())
        return drawn
