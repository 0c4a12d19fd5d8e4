"""A gateway of the workers' wire alone, over real HTTP: it hands out what a test gives it, and writes down what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from PIL import Image
from scripted_upstream import ScriptedUpstream, Seen, http

from gateway.core.images import sniff
from gateway.core.job import Picture
from gateway.core.worker_messages import (
    Claim,
    Claimed,
    Drain,
    Ended,
    Fail,
    Finish,
    Message,
    Presence,
    Progress,
    Progressed,
    Work,
    decode,
    encode,
)

TOKEN = "ig-worker-abcdefABCDEF-0123456789abcdefghijABCDEFGHIJ01234567"


def work(attempt: str, *seeds: int, prompt: str = "a red fox", **fields: Any) -> Work:
    plain = {
        "model": "m",
        "revision": "1",
        "operation": "generation",
        "negative_prompt": None,
        "width": 64,
        "height": 48,
        "steps": 2,
        "guidance": 1.0,
        "max_sequence_length": 512,
        "codec": "png",
        "wanted_ms": 60_000,
        "delivery": 1,
    }
    return Work(attempt=attempt, prompt=prompt, seeds=seeds or (1,), **(plain | fields))


def refusal(status: int, message: str, code: str) -> bytes:
    error = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return http(status, json.dumps(error).encode())


@dataclass
class ScriptedGateway:
    """`lines`: what the next claims bring. `answers`: instead of a path's own, which then does nothing."""

    lines: list[list[Work]] = field(default_factory=list)
    lease_ms: int = 20_000
    poll_s: float = 0.3
    files: dict[str, bytes] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    answers: dict[str, bytes] = field(default_factory=dict)
    #: paths whose next answer that says something is lost on its way
    losing: set[str] = field(default_factory=set)
    #: it hangs up on whoever speaks, and hears nothing
    down: bool = False
    hung_up: int = 0

    presences: list[Presence] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    claimed: dict[str, list[Work]] = field(default_factory=dict)
    progressed: list[Progress] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    partials: dict[tuple[str, int], Image.Image] = field(default_factory=dict)
    finishes: dict[str, Finish] = field(default_factory=dict)
    fails: dict[str, Fail] = field(default_factory=dict)
    drains: list[Drain] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    port: int = 0
    _server: asyncio.Server | None = None
    _upstream: ScriptedUpstream | None = None
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """At the port that it had before."""
        self._upstream = ScriptedUpstream(self._answer)
        self._server = await asyncio.start_server(self._upstream.connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None and self._upstream is not None:
            self._server.close()
            await self._upstream.stop()
            await self._server.wait_closed()
            self._server = None

    def give(self, *works: Work) -> None:
        """For one claim, together."""
        self.lines.append(list(works))
        self.note()

    def note(self) -> None:
        self._moved.set()

    async def until(self, holds: Callable[[], object], patience: float = 20.0) -> None:
        """Looks again at each call that comes in."""
        async with asyncio.timeout(patience):
            while not holds():
                self._moved.clear()
                await self._moved.wait()

    def pictures(self, attempt: str) -> list[Image.Image]:
        """Decoded."""
        return [
            Image.open(BytesIO(self.uploads[picture.name])).convert("RGB")
            for picture in self.finishes[attempt].pictures
        ]

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.close()
            self.hung_up += 1
            self.note()
            return
        parts = urlsplit(seen.target)
        path = parts.path.removeprefix("/worker/v1/")
        self.order.append(path)
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            answer = refusal(401, "Incorrect worker token.", "invalid_api_key")
        elif path in self.answers:
            answer = self.answers[path]
        elif path.startswith("references/"):
            answer = http(200, self.files[path.removeprefix("references/")])
        else:
            answer = await getattr(self, f"_{path}")(seen.body, dict(parse_qsl(parts.query)))
        self.note()
        if path in self.losing and not (path == "claim" and not any(self.claimed.values())):
            self.losing.discard(path)
            writer.close()
            return
        writer.write(answer)
        await writer.drain()

    async def _presence(self, body: bytes, _query: dict[str, str]) -> bytes:
        self.presences.append(decode(body, Presence))
        return http(204)

    async def _claim(self, body: bytes, _query: dict[str, str]) -> bytes:
        claim = decode(body, Claim)
        self.claims.append(claim)
        if claim.claim not in self.claimed:
            if not self.lines and claim.wait_s:
                try:
                    await self.until(lambda: self.lines, self.poll_s)
                except TimeoutError:
                    return _said(Claimed(lease_ms=self.lease_ms))
            self.claimed[claim.claim] = self.lines.pop(0) if self.lines else []
        return _said(Claimed(work=tuple(self.claimed[claim.claim]), lease_ms=self.lease_ms))

    async def _progress(self, body: bytes, _query: dict[str, str]) -> bytes:
        progress = decode(body, Progress)
        self.progressed.append(progress)
        gone = progress.attempt in self.lost or not self._owns(progress.attempt, progress.claim)
        lease = 0 if gone else self.lease_ms
        return _said(Progressed(lease_ms=lease, cancelled=progress.attempt in self.cancelled))

    async def _pictures(self, body: bytes, query: dict[str, str]) -> bytes:
        if not self._owns(query["attempt"], query["claim"]):
            return refusal(409, "It is not yours.", "not_yours")
        codec, width, height = sniff(body)
        name = f"{sha256(body).hexdigest()}.{codec}"
        self.uploads[name] = body
        return http(200, msgspec.json.encode(Picture(name, codec, width, height, len(body))))

    async def _partials(self, body: bytes, query: dict[str, str]) -> bytes:
        self.partials[query["attempt"], int(query["index"])] = Image.open(BytesIO(body)).convert("RGB")
        return http(204)

    async def _finish(self, body: bytes, _query: dict[str, str]) -> bytes:
        finish = decode(body, Finish)
        self.finishes[finish.attempt] = finish
        return _said(Ended(counts=True))

    async def _fail(self, body: bytes, _query: dict[str, str]) -> bytes:
        fail = decode(body, Fail)
        self.fails[fail.attempt] = fail
        return _said(Ended(counts=True))

    async def _drain(self, body: bytes, _query: dict[str, str]) -> bytes:
        self.drains.append(decode(body, Drain))
        return http(204)

    def _owns(self, attempt: str, claim: str) -> bool:
        return attempt not in self.lost and any(each.attempt == attempt for each in self.claimed.get(claim, []))


def _said(message: Message) -> bytes:
    return http(200, encode(message))


@asynccontextmanager
async def scripted_gateway(**fields: Any) -> AsyncIterator[ScriptedGateway]:
    gateway = ScriptedGateway(**fields)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
