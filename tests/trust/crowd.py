"""A crowd of clients: each asks for images, waits for them and asks again; who is cut off asks once more, as an SDK does."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import aiohttp

#: Seconds before a client that got no answer asks again, and before one without budget asks for something else.
PAUSE = 0.25
BROKE_PAUSE = 0.3
#: A connection that the gateway could not even take, and one that ended without an answer.
REFUSED, CUT = "refused", "cut"
SIZES = ("256x256", "320x256", "256x384")


@dataclass(frozen=True, slots=True)
class Heard:
    """One request and what came back: `said` is the status, with the error's code if there is one, REFUSED or CUT."""

    begun: float
    ended: float
    said: str


@dataclass
class Crowd:
    """`size` clients at `url`, or at one of the `others` each time, as a load balancer sends them.

    Prompts are unique to a wish, so that the upstream's ledger tells whose an image is.
    """

    url: str
    key: str
    size: int
    random: Random
    others: tuple[str, ...] = ()
    heard: list[Heard] = field(default_factory=list)
    #: job id → images in its answer; None: 202
    promised: dict[str, int | None] = field(default_factory=dict)
    #: of the first picture in each answer that had any
    urls: list[str] = field(default_factory=list)
    #: prompt → images asked for, however often
    wishes: dict[str, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _over: bool = False

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """They ask until the block ends; then each has its last answer and leaves."""
        self._over = False
        async with (
            aiohttp.ClientSession(
                headers={"authorization": f"Bearer {self.key}"},
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(60),
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self.size):
                group.create_task(self._live(session))
            try:
                yield
            finally:
                self._over = True

    def counts(self) -> Counter[str]:
        return Counter(each.said for each in self.heard)

    async def _live(self, session: aiohttp.ClientSession) -> None:
        while not self._over:
            said = await self._until_answered(session, self._wish(f"wish {next(self._numbers)}"))
            if said.startswith("429"):
                await asyncio.sleep(BROKE_PAUSE)

    async def _until_answered(self, session: aiohttp.ClientSession, wish: dict[str, Any]) -> str:
        """Asks again what an SDK asks again, but for budgets: those clients go on to their next wish."""
        retry = 0
        while True:
            said = await self._send(session, wish, retry)
            if self._over or (said not in (REFUSED, CUT) and not said.startswith(("503", "504"))):
                return said
            retry += 1
            await asyncio.sleep(PAUSE)

    def _wish(self, prompt: str) -> dict[str, Any]:
        images = self.random.choices(range(1, 7), (6, 3, 2, 1, 1, 1))[0]
        self.wishes[prompt] = images
        wish = {
            "prompt": prompt,
            "n": images,
            "size": self.random.choice(SIZES),
            "response_format": self.random.choice(("url", "b64_json")),
        }
        return wish | {"sync": False} if self.random.random() < 0.15 else wish

    async def _send(self, session: aiohttp.ClientSession, wish: dict[str, Any], retry: int) -> str:
        begun = time.monotonic()
        try:
            said = await self._exchange(session, wish, retry)
        except aiohttp.ClientConnectorError:
            said = REFUSED
        except (aiohttp.ClientError, ConnectionError):
            said = CUT
        self.heard.append(Heard(begun, time.monotonic(), said))
        return said

    async def _exchange(self, session: aiohttp.ClientSession, wish: dict[str, Any], retry: int) -> str:
        headers = {"x-stainless-retry-count": str(retry)}
        url = self.random.choice((self.url, *self.others))
        async with session.post(f"{url}/v1/images/generations", json=wish, headers=headers) as answer:
            body = await answer.json()
            if answer.status == 200:
                self.promised[body["job_id"]] = len(body["data"])
                self.urls += [item["url"] for item in body["data"][:1] if "url" in item]
            elif answer.status == 202:
                self.promised[body["job_id"]] = None
            else:
                assert set(body["error"]) == {"message", "type", "param", "code"}
                return f"{answer.status} {body['error']['code']}"
            return str(answer.status)
