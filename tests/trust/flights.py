"""A crowd that asks for one and the same picture: gateways to ask it of, clients, and what they heard."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
from books import Books, settle_down
from clusters import Cluster, cluster_of
from processes import ADMIN_KEY, Process, administer, bill, gateway, manage, simulator
from yarl import URL

Store = Literal["sqlite", "redis"]

REPLICAS = 3
#: Seconds before a client that was refused asks again.
PAUSE = 0.5
PROMPT, SIDE, SEED = "what everybody wants", 256, 7
ORDER = {"prompt": PROMPT, "size": f"{SIDE}x{SIDE}", "seed": SEED}


@dataclass(frozen=True, slots=True)
class Heard:
    """`said`: how the pictures were come by, or an error's code; `pictures`: the names, which are digests of the bytes."""

    said: str
    job: str = ""
    pictures: tuple[str, ...] = ()
    url: str = ""


CUT = Heard("cut")


@dataclass(frozen=True)
class Front:
    """One gateway on SQLite, or several on one Redis (`cluster`)."""

    upstream: Process
    gateways: Sequence[Process]
    cluster: Cluster | None = None

    def new_key(self, team: str = "alpha") -> str:
        secret: str = administer(self.gateways[0], "keys", {"team": team})["secret"]
        return secret

    @property
    def submits(self) -> int:
        return len(bill(self.upstream)["jobs"])

    @property
    def job_ids(self) -> list[str]:
        """Those that are journalled, up to the thousand of a page, as the last gateway says: the first may be dead."""
        return [job["id"] for job in administer(self.gateways[-1], "jobs?limit=1000")["data"]]

    @property
    def drift(self) -> int:
        return sum(administer(each, "drift")["microdollars"] for each in self.gateways)

    async def books(self) -> Books:
        await asyncio.to_thread(settle_down, self.gateways[-1], self.upstream)
        return Books.of(self.gateways[-1], self.upstream)


@contextmanager
def front_on(store: Store, directory: Path, *options: str) -> Iterator[Front]:
    """`options` are the simulator's. One budget, of all together: every order counts in it."""
    with ExitStack() as stack:
        if store == "redis":
            cluster = stack.enter_context(cluster_of(REPLICAS, directory, *options))
            front = Front(cluster.upstream, cluster.gateways, cluster)
        else:
            upstream = stack.enter_context(simulator(directory, *options))
            process = stack.enter_context(gateway(directory, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY))
            front = Front(upstream, [process])
        manage(front.gateways[0], "budgets", "set", "org", "10000/month")
        yield front


@dataclass
class Clients:
    """Each on a connection of its own; they leave when the block ends, if not before."""

    session: aiohttp.ClientSession
    asking: list[asyncio.Task[Heard]] = field(default_factory=list)
    refused: int = 0

    def ask(self, process: Process, often: int = 1, retry: int = 0) -> list[asyncio.Task[Heard]]:
        asking = [asyncio.create_task(self._ask(process, retry)) for _ in range(often)]
        self.asking += asking
        return asking

    async def _ask(self, process: Process, retry: int) -> Heard:
        """Asks again, as an SDK does, while the gateway refuses: on a busy machine Redis may seem to be down."""
        heard = await self._send(process, retry)
        while heard.said == "no_capacity":
            self.refused += 1
            await asyncio.sleep(PAUSE)
            retry += 1
            heard = await self._send(process, retry)
        return heard

    async def _send(self, process: Process, retry: int) -> Heard:
        headers = {"x-stainless-retry-count": str(retry)}
        try:
            async with self.session.post(f"{process.url}/v1/images/generations", json=ORDER, headers=headers) as answer:
                return _heard(await answer.json())
        except (aiohttp.ClientError, ConnectionError):
            return CUT

    async def picture(self, heard: Heard, process: Process) -> bytes:
        """The bytes of its first picture, from any of the gateways."""
        async with self.session.get(URL(heard.url).with_port(process.port), raise_for_status=True) as answer:
            return await answer.read()


def _heard(answer: dict[str, Any]) -> Heard:
    if "error" in answer:
        return Heard(answer["error"]["code"])
    urls = [item["url"] for item in answer["data"]]
    names = tuple(url.partition("?")[0].rpartition("/")[2] for url in urls)
    return Heard(answer["imagegate"]["cache"], answer["job_id"], names, urls[0])


@asynccontextmanager
async def clients(key: str) -> AsyncIterator[Clients]:
    async with aiohttp.ClientSession(
        headers={"authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(120),
    ) as session:
        crowd = Clients(session)
        try:
            yield crowd
        finally:
            for each in crowd.asking:
                each.cancel()
            await asyncio.gather(*crowd.asking, return_exceptions=True)


async def until_there(front: Front, jobs: int) -> None:
    """So many are journalled, and the one that is made has reached the upstream."""
    async with asyncio.timeout(20):
        while front.submits < 1 or len(front.job_ids) < jobs:  # noqa: ASYNC110 - processes have no event to wait on
            await asyncio.sleep(0.05)
