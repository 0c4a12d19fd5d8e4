"""A gateway before a simulator, as two processes or in the caller's loop, and what its answers are held against."""

import base64
import io
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import httpx
from PIL import Image
from processes import ADMIN_KEY, UPSTREAM_KEY, Process, administer, bill, gateway, simulator

from gateway import settings
from gateway.core.encode import encode
from gateway.core.order import Codec
from gateway.core.sample_picture import draw
from gateway.pipeline.administration import Administration
from gateway.ports import Clock
from gateway.simulator.app import running
from gateway.simulator.options import Options
from gateway.simulator.shapes import SHAPES
from gateway.wiring import serving

MODEL = "flux-2-klein-4b"
#: `--shape rotate` takes so many in turn
SHAPE_COUNT = sum(shape.documented for shape in SHAPES.values())
CODECS: tuple[Codec, ...] = get_args(Codec)
POLICIES = Path(__file__).parents[2] / "policies"


@dataclass(frozen=True)
class Rig:
    """Two processes. Tests share them, so each has prompts (and, where money is counted, a key) of its own."""

    simulator: Process
    gateway: Process
    #: of a budget that no test exhausts
    key: str = ""

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def base_url(self) -> str:
        return self.gateway.url + "/v1"

    def new_key(self, *budgets: str, team: str = "alpha") -> str:
        secret: str = administer(self.gateway, "keys", {"team": team, "budgets": budgets})["secret"]
        return secret

    def bought(self, prompt: str) -> list[dict[str, Any]]:
        """The submits for that prompt which the simulator accepted."""
        return [job for job in bill(self.simulator)["jobs"] if job["prompt"] == prompt]


@contextmanager
def rig(directory: Path, *options: str) -> Iterator[Rig]:
    """`options` are the simulator's: jobs of about 0.2 s unless they say otherwise."""
    with (
        simulator(directory, "--median", "0.2", "--sigma", "0.1", *options) as upstream,
        gateway(directory, upstream.url, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
    ):
        without_key = Rig(upstream, process)
        yield replace(without_key, key=without_key.new_key("100/month"))


@dataclass(frozen=True)
class Inside:
    """Both in this loop, over real HTTP all the same: for upstreams, policies and settings that one test needs."""

    simulator_url: str
    url: str
    key: str
    administration: Administration

    @property
    def base_url(self) -> str:
        return self.url + "/v1"

    async def new_key(self, *budgets: str, team: str = "alpha") -> str:
        return (await self.administration.create_key(team, "", budgets))[1]

    async def budget(self, key: str) -> tuple[int, int]:
        """What is spent and what is held of that key's one budget, in micro-dollars."""
        (state,) = await self.administration.budgets(["key:" + key.split("-")[2]])
        return state.spent, state.held

    async def bill(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            ledger: dict[str, Any] = (await client.get(self.simulator_url + "/simulator/ledger")).json()
            return ledger


@asynccontextmanager
async def inside(
    directory: Path, options: Options | None = None, clock: Clock | None = None, **environment: str
) -> AsyncIterator[Inside]:
    """Jobs of 50 ms unless `options` say otherwise; the upstream has no limit unless the environment sets one."""
    async with running(options or quick()) as simulator_url:
        found = settings.read(
            {
                "EMPIRIOLABS_API_KEY": UPSTREAM_KEY,
                "IMAGEGATE_EMPIRIOLABS_URL": simulator_url,
                "IMAGEGATE_EMPIRIOLABS_RPM": "0",
                "IMAGEGATE_PORT": "0",
                "IMAGEGATE_LOG_LEVEL": "error",
                **environment,
            },
            directory,
            data=directory / "data",
        )
        async with serving.running(found, clock) as served:
            key = (await served.administration.create_key("alpha", "", ["100/month"]))[1]
            yield Inside(simulator_url, served.url, key, served.administration)


def quick(**options: Any) -> Options:
    """A simulator without a rate limit, whose jobs take 50 ms each."""
    return Options(**{"rpm": 0, "median_s": 0.05, "sigma": 0.0, **options})


def edited_policies(directory: Path, file: str, old: str, new: str) -> str:
    """The packaged policies with one edit, as `imagegate policies export` and an editor leave them; IMAGEGATE_POLICIES."""
    copy = directory / "policies"
    shutil.copytree(POLICIES, copy)
    text = (copy / file).read_text()
    assert text.count(old) == 1
    (copy / file).write_text(text.replace(old, new))
    return str(copy)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def picture_bytes(item: dict[str, str]) -> bytes:
    """The bytes of an item of `data`, from wherever it says they are. No credential goes along."""
    (name,) = item  # one of the two, and nothing beside it
    if name == "b64_json":
        return base64.b64decode(item[name], validate=True)
    async with httpx.AsyncClient() as client:
        return (await client.get(item["url"])).raise_for_status().content


def check_picture(data: bytes, codec: str, size: str) -> None:
    """It is decoded whole, and is of that codec and that size (`WIDTHxHEIGHT`)."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.format, f"{image.width}x{image.height}") == (codec.upper(), size)


def drawn(prompt: str, seed: int, size: str, codec: Codec) -> bytes:
    """What the simulator draws for that prompt and seed."""
    width, height = map(int, size.split("x"))
    return encode(draw(prompt, seed, width, height), codec)
