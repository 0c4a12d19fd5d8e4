"""Fetching results by URL (rule 10): the provider names the address, so it is trusted with nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.ports import Clock, Image
from gateway.providers.addresses import Origin, origin_of
from gateway.providers.empiriolabs_result import MAX_IMAGE, Link, image_of
from gateway.providers.reply import Broken, Reply
from gateway.providers.transport import (
    Call,
    Limits,
    Line,
    Slot,
    connector,
    open_public_socket,
    open_transport,
    trusted_tls,
)

#: Seconds before each try: a CDN may know a file a moment later than the API that names it.
PAUSES = (0.0, 0.2, 1.0, 3.0)

#: Refusals, beside 5xx, that the same URL may yet get over.
_PASSING = frozenset({404, 408, 425, 429})


@dataclass(frozen=True, slots=True)
class Lines:
    """`trusted` connects anywhere, `public` to public addresses only."""

    trusted: Line
    public: Line


@asynccontextmanager
async def open_lines(clock: Clock, connect: float) -> AsyncIterator[Lines]:
    """`connect`: seconds for a free connection, DNS, TCP and TLS together."""
    tls = trusted_tls()
    pools = (connector(tls=tls), connector(tls=tls, socket_factory=open_public_socket))
    async with open_transport(pools[0]) as anywhere, open_transport(pools[1]) as public:
        yield Lines(Line(anywhere, clock, connect), Line(public, clock, connect))


@dataclass(frozen=True, slots=True)
class _Missing:
    reason: str
    again: bool = False


class Downloads:
    """No download carries our key. Private hosts (`host`, `host:port`, `[IPv6]`, `[IPv6]:port`) and the upstream's own origin
    may lie on private addresses and be plain http. `deadline`: seconds for one picture, tries included, the wait for the
    slot not."""

    def __init__(self, lines: Lines, own: Origin, private_hosts: Sequence[str], clock: Clock, deadline: float) -> None:
        self._lines = lines
        self._own = own
        self._private = frozenset(host.lower() for host in private_hosts)
        self._clock = clock
        self._deadline = deadline

    async def collect(
        self, pictures: Sequence[Image | Link], count: Callable[[str], None], slot: Slot
    ) -> tuple[Image, ...] | str:
        """All of them, in order, or why not: a part of a result is no good while the whole may still be had."""
        here = tuple(picture for picture in pictures if isinstance(picture, Image))
        if len(here) == len(pictures):
            return here
        async with asyncio.TaskGroup() as group:  # none outlives the slot
            tasks = [group.create_task(self._have(picture, count, slot)) for picture in pictures]
        got = [task.result() for task in tasks]
        missing = [each for each in got if isinstance(each, _Missing)]
        return missing[0].reason if missing else tuple(each for each in got if isinstance(each, Image))

    async def _have(self, picture: Image | Link, count: Callable[[str], None], slot: Slot) -> Image | _Missing:
        if isinstance(picture, Image):
            return picture
        line = self._line(picture.url)
        if line is None:
            return _Missing("a result lies at an address that is never fetched")
        ends = self._clock.monotonic() - slot.waited + self._deadline
        got: Image | _Missing = _Missing("a result was not fetched in time")
        for pause in PAUSES:
            await self._clock.sleep(pause)
            left = ends - (self._clock.monotonic() - slot.waited)
            if left <= 0:
                break
            reply = await line.call(Call("GET", picture.url), Limits(left, left, MAX_IMAGE), slot)
            count(reply.code)
            got = _read(reply)
            if isinstance(got, Image) or not got.again:
                break
        return got

    def _line(self, url: str) -> Line | None:
        target = origin_of(url)
        if target is None:
            return None
        host = f"[{target.host}]" if ":" in target.host else target.host
        if target == self._own or not self._private.isdisjoint({host, f"{host}:{target.port}"}):
            return self._lines.trusted
        return self._lines.public if target.scheme == "https" else None


def _read(reply: Reply | Broken) -> Image | _Missing:
    if isinstance(reply, Broken):
        return _Missing(f"a result could not be fetched: {reply.reason}", again=True)
    if not reply.fine:
        passing = reply.status >= 500 or reply.status in _PASSING  # noqa: PLR2004 - HTTP's own number
        return _Missing(f"a result's address answered HTTP {reply.status}", again=passing)
    if not reply.complete:
        return _Missing("a result was cut, encoded or too large", again=True)
    try:
        return image_of(bytes(reply.body))
    except ValueError as error:
        return _Missing(f"a result is no picture: {error}", again=True)
