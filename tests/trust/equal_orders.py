"""Customers of some teams whose orders are often equal, and a model of what may be bought for them."""

import asyncio
import base64
import io
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from typing import Any

import aiohttp
from books import Books
from PIL import Image

TEAMS = ("red", "green", "blue")
#: Of each team; what one has bought is the others' as well.
KEYS = 3
#: Seconds: until a customer who leaves has left, between two wishes, between an SDK's attempts, and after a dead connection.
LEAVING, REST, PAUSE, DOWN = 0.8, 0.2, 0.25, 1.0
#: Wishes after which nobody asks for the oldest seed any more, so that there is always something to be bought.
FASHION = 60
PROMPT = "a cat"
REPEATABLE = {"cut", "left", "502", "503", "504"}


def reference(colour: str) -> str:
    sink = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(sink, "PNG")
    return "data:image/png;base64," + base64.b64encode(sink.getvalue()).decode()


#: None: not an edit
REFERENCES = {None: "", "orange": reference("orange"), "purple": reference("purple")}


@dataclass(frozen=True, slots=True)
class Wish:
    """One call, whose `name` is its end user: that changes no picture, and is kept with its job."""

    name: str
    team: str
    prompt: str
    images: int
    edit_of: str | None
    seed: int | None
    key: int
    bypass: bool = False
    #: several customers send it
    idempotent: bool = False


def a_wish(number: int, random: Random) -> Wish:
    seed = number // FASHION + random.randrange(2) if random.random() < 0.8 else None
    images, edit_of = random.choice((1, 1, 1, 2)), random.choice((None, None, None, "orange", "purple"))
    team, key = random.choice(TEAMS), random.randrange(KEYS)
    return Wish(str(number), team, PROMPT, images, edit_of, seed, key, bypass=random.random() < 0.1)


def a_shared_wish(number: int) -> Wish:
    """The same for whoever sends it, under one Idempotency-Key."""
    wish = a_wish(number, Random(number))
    return replace(wish, name=f"shared {number}", bypass=False, idempotent=True)


@dataclass
class Customers:
    """At any of these URLs; `keys` by team. They leave early at times, and repeat what an SDK repeats."""

    urls: Sequence[str]
    keys: dict[str, list[str]]
    random: Random
    wishes: dict[str, Wish] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)
    #: what is wrong with an answer by itself
    strange: list[str] = field(default_factory=list)
    #: (prompt, reference, seed) → the names of its pictures, which are digests of their bytes: one
    pictures: defaultdict[tuple[str, str | None, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    _numbers: Iterator[int] = field(default_factory=count)
    _over: bool = False

    @asynccontextmanager
    async def at_work(self, size: int) -> AsyncIterator[None]:
        """So many ask until the block ends; then each has its last answer."""
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(200)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
            for _ in range(size):
                group.create_task(self._live(session))
            try:
                yield
            finally:
                self._over = True

    async def _live(self, session: aiohttp.ClientSession) -> None:
        while not self._over:
            number = next(self._numbers)
            wish = a_shared_wish(number // 30) if self.random.random() < 0.1 else a_wish(number, self.random)
            self.wishes[wish.name] = wish
            seed = await self._buy(session, wish)
            if wish.seed is None and seed is not None and self.random.random() < 0.5:
                again = replace(wish, name=f"{number} again", seed=seed, key=0, bypass=False, idempotent=False)
                self.wishes[again.name] = again
                await self._buy(session, again)
            await asyncio.sleep(self.random.uniform(0, REST))

    async def _buy(self, session: aiohttp.ClientSession, wish: Wish) -> int | None:
        """The seed of its pictures; None: it has none."""
        for retry in range(4):
            leaving = self.random.uniform(0, LEAVING) if self.random.random() < 0.15 else None
            try:
                async with asyncio.timeout(leaving):
                    said, seed = await self._send(session, wish, retry)
            except TimeoutError:
                said, seed = "left", None
            except (aiohttp.ClientError, ConnectionError):
                said, seed = "cut", None
            self.said[said] += 1
            if said[:4].strip() not in REPEATABLE or self.random.random() < 0.3:
                return seed
            await asyncio.sleep(DOWN if said == "cut" else PAUSE)
        return None

    async def _send(self, session: aiohttp.ClientSession, wish: Wish, retry: int) -> tuple[str, int | None]:
        headers = {"authorization": f"Bearer {self.keys[wish.team][wish.key]}", "x-stainless-retry-count": str(retry)}
        headers |= {"x-imagegate-cache": "bypass"} if wish.bypass else {}
        headers |= {"idempotency-key": wish.name} if wish.idempotent else {}
        body: dict[str, Any] = {"prompt": wish.prompt, "n": wish.images, "size": "256x256", "user": wish.name}
        body |= {} if wish.seed is None else {"seed": wish.seed}
        body |= {"images": [{"image_url": REFERENCES[wish.edit_of]}]} if wish.edit_of else {}
        url = f"{self.random.choice(self.urls)}/v1/images/{'edits' if wish.edit_of else 'generations'}"
        async with session.post(url, json=body, headers=headers) as answer:
            said = await answer.json()
        if answer.status != 200:
            return f"{answer.status} {said['error']['code']}", None
        return self._heard(wish, said)

    def _heard(self, wish: Wish, answer: dict[str, Any]) -> tuple[str, int]:
        ours = answer["imagegate"]
        paid = len(answer["data"]) if ours["cache"] in {"miss", "bypass"} else 0
        if float(ours["cost"]) != paid * 0.0085 or wish.seed not in {None, ours["seed"]}:
            self.strange.append(f"{wish}: {ours}")
        for number, item in enumerate(answer["data"]):
            name = item["url"].partition("?")[0].rpartition("/")[2]
            self.pictures[wish.prompt, wish.edit_of, ours["seed"] + number].add(name)
        return ours["cache"], ours["seed"]


@dataclass(frozen=True, slots=True)
class Purchase:
    """A hold on money; `reserved` and `ended` (None: it is unconfirmed) are places in the ledger, which is in the order of
    what happened."""

    wish: Wish
    seed: int
    reserved: int
    ended: int | None
    images: int

    @property
    def order(self) -> tuple[object, ...]:
        return _order(self.wish, self.seed)

    def answers_for(self, later: "Purchase") -> bool:
        """Need the later one not have been made?"""
        ended = self.ended is not None and self.ended < later.reserved
        if self.wish.name == later.wish.name:  # the same call, repeated by its SDK or under its Idempotency-Key
            return not ended or self.images > 0
        if later.wish.bypass or later.wish.seed is None or self.order != later.order:
            return False
        if ended:
            return self.images == self.wish.images
        return not self.wish.bypass and self.ended is not None


def purchases(books: Books, wishes: dict[str, Wish]) -> list[Purchase]:
    """In their order, also those that nothing came of."""
    places = {(row["attempt_id"], row["kind"] == "reserve"): row["seq"] for row in books.rows}
    return sorted(
        (
            Purchase(
                wishes[job["user"]],
                job["seed"],
                places[attempt["id"], True],
                places.get((attempt["id"], False)),
                len(attempt["pictures"]),
            )
            for job in books.jobs
            for attempt in job["attempts"]
            if attempt["id"].startswith(job["id"])  # not of another that it follows
        ),
        key=lambda purchase: purchase.reserved,
    )


def followed_strangers(books: Books, wishes: dict[str, Wish]) -> list[str]:
    """Jobs that were given the pictures of another order, or of another team's."""
    jobs = {job["id"]: job for job in books.jobs}

    def order(job: dict[str, Any]) -> tuple[object, ...]:
        return _order(wishes[job["user"]], job["seed"])

    return [
        job["id"]
        for job in books.jobs
        for attempt in job["attempts"]
        if order(job) != order(jobs[attempt["id"].partition(".")[0]])
    ]


def _order(wish: Wish, seed: int) -> tuple[object, ...]:
    """What equal ones have in common: who shares, and what can change the picture."""
    return wish.team, wish.prompt, wish.images, wish.edit_of, seed


def needless(bought: Sequence[Purchase]) -> list[tuple[Purchase, Purchase]]:
    """Each with an earlier one that answered for it."""
    by_likeness: defaultdict[object, list[Purchase]] = defaultdict(list)
    found = []
    for later in bought:
        alike = by_likeness[later.wish.name], by_likeness[later.order]
        found += [(later, earlier) for group in alike for earlier in group if earlier.answers_for(later)]
        for group in alike:
            group.append(later)
    return found
