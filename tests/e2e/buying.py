"""An order and a provider to place it with, for tests that speak to a scripted upstream."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import aiohttp
from orders import A_CAT
from PIL import Image as Pillow

from gateway.core.order import Part
from gateway.ports import Clock
from gateway.providers.downloads import Lines
from gateway.providers.empiriolabs import Account, Deadlines, EmpirioLabs
from gateway.providers.transport import Line, connector, open_public_socket, open_transport

KEY = "sk-empiriolabs-canary"
PART = Part(0, 1, 7)
ORDER = replace(A_CAT, prompt="a lighthouse")


def picture(side: int = 5) -> bytes:
    sink = BytesIO()
    Pillow.effect_noise((side, side), 60).save(sink, "PNG")
    return sink.getvalue()


def done(*items: Any, **members: Any) -> bytes:
    return json.dumps({"job_id": "job-1", "status": "completed", "result": {"data": items}, **members}).encode()


def b64(data: bytes) -> dict[str, str]:
    return {"b64_json": base64.b64encode(data).decode()}


class QuickClock(Clock):
    """Real time, but nobody sleeps: `slept` says for how long one would have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)


#: Long enough for a loaded machine to answer in, short enough to wait for.
SHORT = Deadlines(connect=0.5, submit=0.5, hold=0.5, upload=0.5, poll=0.5, poll_body=0.5, download=0.5)


@dataclass
class Buyer:
    provider: EmpirioLabs
    clock: QuickClock
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


@asynccontextmanager
async def buyer(
    url: str,
    *,
    anywhere: aiohttp.TCPConnector | None = None,
    public: aiohttp.TCPConnector | None = None,
    **account: Any,
) -> AsyncIterator[Buyer]:
    """A provider over real connections; the connectors are those of production unless a test brings its own."""
    terms = replace(Account(url, KEY), **account)
    clock = QuickClock()
    async with AsyncExitStack() as stack:
        pools = (anywhere or connector(), public or connector(socket_factory=open_public_socket))
        transports = [await stack.enter_async_context(open_transport(pool)) for pool in pools]
        lines = Lines(*(Line(transport, clock, terms.deadlines.connect) for transport in transports))
        counts: Counter[tuple[str, str]] = Counter()
        provider = EmpirioLabs(terms, lines, clock, lambda op, code: counts.update([(op, code)]))
        yield Buyer(provider, clock, counts)
