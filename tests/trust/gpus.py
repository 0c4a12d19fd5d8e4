"""A gateway with GPU boxes of its own, all of them processes, and customers who have pictures made there."""

import asyncio
import base64
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from books import Books
from processes import ADMIN_KEY, Process, administer, free_port, gateway
from rig import POLICIES, bearer, check_picture, drawn

#: Micro-dollars an image at the workers: not what the cloud costs, so that the books tell them apart.
PRICE = 2000
OWN = '{ provider = "workers", price = 0.002 }'
CLOUD = '{ provider = "empiriolabs" }'
SIZE = "256x256"
#: Where no upstream answers: a route that has no leg there asks nobody.
NOWHERE = "http://127.0.0.1:9"
PATIENCE = 100.0
_PAUSE = 0.25
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class EngineCall:
    """`at`: seconds of the machine's monotonic clock, which all processes share."""

    at: float
    prompts: Sequence[str]


@dataclass
class Gpu:
    """A box, whose process comes and goes."""

    name: str
    process: Process
    record: Path

    def start(self) -> None:
        """Until it takes work."""
        before = len(self.said("ready"))
        self.process.launch()
        wait_until(lambda: len(self.said("ready")) > before, 60.0)

    def said(self, event: str) -> list[dict[str, Any]]:
        """All that it has logged of that, over all its lives."""
        lines = self.process.log.read_text().splitlines() if self.process.log.exists() else []
        said = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return [each for each in said if each["event"] == event]

    def begun(self, prompt: str) -> int:
        """How often it has begun to make that one."""
        return sum(call.prompts.count(prompt) for call in self.calls())

    def calls(self) -> list[EngineCall]:
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return [EngineCall(**json.loads(line)) for line in lines]


@dataclass
class Shop:
    """`gateways` share one store. Boxes work for the last of them, customers ask any."""

    directory: Path
    gateways: Sequence[Process]
    token: str
    stack: ExitStack

    @property
    def one(self) -> Process:
        return self.gateways[0]

    def gpu(self, name: str, *, seconds: float = 0.05, batch: int = 4, shift: int = 0) -> Gpu:
        """A live one, whose engine takes so many seconds for a picture's step, of which there are four, and adds `shift` to
        every seed."""
        record = self.directory / f"{name}.calls"
        options = ["--gateway", self.gateways[-1].url, "--name", name, "--engine", "simulated", "--json"]
        options += ["--seconds", str(seconds), "--batch", str(batch)]
        environment = {**self.one.environment, "IMAGEGATE_WORKER_TOKEN": self.token}
        process = Process(options, free_port(), environment, self.directory / f"{name}.log")
        process.program = (str(_HERE / "gpu_box.py"), str(record), str(shift))
        self.stack.callback(process.end)
        gpu = Gpu(name, process, record)
        gpu.start()
        return gpu

    def key(self, team: str = "alpha") -> str:
        secret: str = administer(self.one, "keys", {"team": team, "budgets": ["1000/month"]})["secret"]
        return secret


@contextmanager
def shop(directory: Path, *legs: str, upstream: str = NOWHERE, lease_ms: int | None = None) -> Iterator[Shop]:
    """On a SQLite file."""
    with ExitStack() as stack:
        settings = {"IMAGEGATE_ADMIN_KEY": ADMIN_KEY, "IMAGEGATE_POLICIES": policies(directory, *legs)}
        process = stack.enter_context(gateway(directory, upstream, started=False, **settings))
        if lease_ms is not None:
            process.program = (str(_HERE / "short_leases.py"), str(lease_ms))
        process.start()
        yield Shop(directory, [process], new_token(process), stack)


def policies(directory: Path, *legs: str) -> str:
    """The packaged ones with these legs; IMAGEGATE_POLICIES."""
    copy = directory / "policies"
    shutil.copytree(POLICIES, copy)
    routes = (copy / "routes.toml").read_text()
    routes, often = re.subn(
        r"^legs = \[\n.*?^\]", f"legs = [{', '.join(legs)}]", routes, flags=re.DOTALL | re.MULTILINE
    )
    assert often == 1
    (copy / "routes.toml").write_text(routes)
    return str(copy)


def new_token(process: Process) -> str:
    token: str = administer(process, "workers/tokens", {"name": "boxes"})["secret"]
    return token


@dataclass
class Customers:
    """Each wants one picture, under an Idempotency-Key of its own, and asks again what an SDK asks again."""

    urls: Sequence[str]
    key: str
    #: share of them that take a job's id instead of waiting
    detached: float = 0.0
    random: Random = field(default_factory=lambda: Random(6))
    #: what was said to any of their calls: a status, with the error's code if there is one, or the transport's failure
    heard: Counter[str] = field(default_factory=Counter)
    #: prompt → the answer's body, or the failed job's
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: prompt → job ids that it was told
    jobs: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return len(self.answers)

    @asynccontextmanager
    async def buying(self, wishes: Mapping[str, int]) -> AsyncIterator[None]:
        """All at once, seeds by prompts; the block's end waits for the last answer."""
        async with asyncio.timeout(PATIENCE * 4), self.session() as session, asyncio.TaskGroup() as group:
            for prompt, seed in wishes.items():
                group.create_task(self.buy(session, prompt, seed))
            yield

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers=bearer(self.key),
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(PATIENCE * 3),
        )

    async def buy(self, session: aiohttp.ClientSession, prompt: str, seed: int) -> None:
        fields: dict[str, object] = {"prompt": prompt, "seed": seed, "size": SIZE, "response_format": "b64_json"}
        if self.random.random() < self.detached:
            fields["sync"] = False
        retry = 0
        while True:
            headers = {"idempotency-key": prompt, "x-stainless-retry-count": str(retry)}
            status, body = await self._call(session, "POST", "/v1/images/generations", fields, headers)
            if status == 202:
                body = await self._collected(session, body["job_id"])
            if status in (200, 202):
                self.jobs[prompt] = body["job_id"]
                self.answers[prompt] = body["result"] if status == 202 and body["result"] else body
                return
            if status not in (0, 429, 503, 504):
                self.answers[prompt] = body
                return
            retry += 1
            await asyncio.sleep(_PAUSE)

    async def _collected(self, session: aiohttp.ClientSession, job_id: str) -> dict[str, Any]:
        while True:
            status, body = await self._call(session, "GET", f"/v1/jobs/{job_id}")
            if status == 200 and body["status"] in ("completed", "failed"):
                return body
            await asyncio.sleep(_PAUSE)

    async def _call(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Status 0: the connection did not carry a whole answer."""
        url = self.random.choice(self.urls)
        try:
            async with session.request(method, url + path, json=fields, headers=headers) as answer:
                body: dict[str, Any] = await answer.json()
        except (aiohttp.ClientError, ConnectionError) as error:
            self.heard[type(error).__name__] += 1
            return 0, {}
        code = (body.get("error") or {}).get("code", "") if answer.status >= 400 else ""
        self.heard[f"{answer.status} {code}".strip()] += 1
        return answer.status, body

    def wrong(self, wishes: Mapping[str, int]) -> list[str]:
        """Prompts without an answer, or with another picture than that of their seed, decoded to the last pixel."""
        return [prompt for prompt, seed in wishes.items() if not _right(self.answers.get(prompt, {}), prompt, seed)]


def _right(body: Mapping[str, Any], prompt: str, seed: int) -> bool:
    data = body.get("data") or []
    if len(data) != 1:
        return False
    picture = base64.b64decode(data[0]["b64_json"], validate=True)
    check_picture(picture, "webp", SIZE)
    return picture == drawn(prompt, seed, SIZE, "webp")


def wishes(count: int, first: int = 0) -> dict[str, int]:
    """Seeds by prompts."""
    return {f"wish {number}": 1000 + number for number in range(first, first + count)}


def charged_once(books: Books, wanted: Mapping[str, int], price: int = PRICE) -> bool:
    """One done attempt and one settle of that price for each wish, and nothing else spent or held."""
    done = [attempt for attempt in books.attempts if attempt["state"] == "done"]
    settles = [row for row in books.rows if row["kind"] == "settle"]
    ends = Counter(row["attempt_id"] for row in books.rows if row["kind"] != "reserve")
    return (
        Counter(attempt["seed"] for attempt in done) == Counter(wanted.values())
        and Counter(row["attempt_id"] for row in settles) == Counter(attempt["id"] for attempt in done)
        and {row["amount"]["microdollars"] for row in settles} == {price}
        and set(ends.values()) == {1}
        and (books.spent, books.held, books.drift) == (len(wanted) * price, 0, 0)
    )


def delivered(gpus: Sequence[Gpu]) -> Counter[str]:
    """How often each piece was counted as made by the gateway, as the boxes say."""
    return Counter(each["piece"] for gpu in gpus for each in gpu.said("made"))


async def in_mid_job(gpu: Gpu) -> None:
    """Just after it has begun a call."""
    before = len(gpu.calls())
    await until(lambda: len(gpu.calls()) > before)
    await asyncio.sleep(0.2)


def wait_until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.02)


async def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    await asyncio.to_thread(wait_until, holds, seconds)
