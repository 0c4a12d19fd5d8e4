"""A proxy between clients and gateways that loses requests and answers, whole or in part, and delays what it carries.

What befalls a request follows from a seed, its prompt and its count of retries alone: the next run decides alike, whatever
came first in it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import count
from random import Random

from test_disconnects import gone, reset


class Fate(StrEnum):
    PASS = "request and answer passed"
    REFUSE = "request refused"
    CUT = "request cut"
    SWALLOW = "request swallowed"
    DELAY = "request delayed"
    LEAVE = "client gone before the answer"
    LOSE = "answer lost"
    CUT_HEAD = "answer cut in its head"
    CUT_BODY = "answer cut in its body"
    DELAY_ANSWER = "answer delayed"
    WITHHOLD = "answer withheld"
    OVERTAKE = "request overtaken by its retry"


#: How often each befalls a request, in percent. Withheld and swallowed ones cost their client its whole timeout. None is
#: overtaken: what is not there by the time that its client leaves never arrives.
OFTEN = {
    Fate.PASS: 26,
    Fate.REFUSE: 5,
    Fate.CUT: 7,
    Fate.SWALLOW: 4,
    Fate.DELAY: 9,
    Fate.LEAVE: 11,
    Fate.LOSE: 12,
    Fate.CUT_HEAD: 6,
    Fate.CUT_BODY: 7,
    Fate.DELAY_ANSWER: 7,
    Fate.WITHHOLD: 6,
}
#: Share of connections that are refused before a byte is read.
REFUSED = 0.03
#: Seconds at most of a delay: longer than some timeouts.
LONGEST = 1.5

Decide = Callable[["Request"], Fate]
Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Request:
    raw: bytes
    prompt: str
    retry_count: int


@dataclass(frozen=True, slots=True)
class Passage:
    """`whole`: its last byte was sent to a gateway; `answered`: what that said to it, if anybody was there to listen."""

    request: Request
    fate: Fate
    whole: bool
    answered: int | None = None


@dataclass(frozen=True, slots=True)
class _Carried:
    """A request on its way: whose, and with what luck."""

    request: Request
    client: Wire
    gate: Wire
    dice: Random
    #: the proxy has passed or lost an answer
    any_answer: asyncio.Event


@dataclass
class LossyProxy:
    ports: Sequence[int]
    seed: int
    decide: Decide | None = None
    passages: list[Passage] = field(default_factory=list)
    refused: int = 0
    _connections: Iterator[int] = field(default_factory=count)
    _any_answer: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its URL. Ends when the last request is at its end, also one whose client has left."""
        async with asyncio.TaskGroup() as connections:

            def accept(*client: *Wire) -> None:
                connections.create_task(self._serve(client))

            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            try:
                yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            finally:
                server.close()

    async def _serve(self, client: Wire) -> None:
        dice = Random(f"{self.seed} connection {next(self._connections)}")
        port = dice.choice(self.ports)
        if self.decide is None and dice.random() < REFUSED:
            self.refused += 1
            reset(client[1])
        else:
            await self._carry_all(client, port)
        client[1].close()
        await gone(client[1])

    async def _carry_all(self, client: Wire, port: int) -> None:
        """Request after request, until one of them ends the connection: then its gateway's ends as well."""
        gate: Wire | None = None
        kept = True
        while kept and (request := await _request(client[0])) is not None:
            if gate is None or gate[0].at_eof():
                gate = await asyncio.open_connection("127.0.0.1", port)
            passage = await self._carry(request, client, gate)
            self.passages.append(passage)
            if passage.answered is not None:
                self._any_answer.set()
            kept = passage.fate in _KEPT and passage.answered is not None and not client[1].is_closing()
        if gate is not None:
            gate[1].close()
            await gone(gate[1])

    async def _carry(self, request: Request, client: Wire, gate: Wire) -> Passage:
        dice = Random(f"{self.seed} {request.retry_count} {request.prompt}")
        fate = self.decide(request) if self.decide else dice.choices(list(OFTEN), list(OFTEN.values()))[0]
        return await _BEFALL.get(fate, partial(_answer, fate))(_Carried(request, client, gate, dice, self._any_answer))


# --- what befalls a request ---------------------------------------------------------------------------------------------


async def _refuse(carried: _Carried) -> Passage:
    _hang_up(carried)
    return Passage(carried.request, Fate.REFUSE, whole=False)


async def _cut(carried: _Carried) -> Passage:
    await _send_part(carried)
    _hang_up(carried)
    return Passage(carried.request, Fate.CUT, whole=False)


async def _swallow(carried: _Carried) -> Passage:
    await _send_part(carried)
    await _left(carried.client[0])
    return Passage(carried.request, Fate.SWALLOW, whole=False)


async def _delay(carried: _Carried) -> Passage:
    """One whose client does not wait for so long never arrives."""
    if await _leaves_within(carried, carried.dice.uniform(0, LONGEST)):
        return Passage(carried.request, Fate.DELAY, whole=False)
    return await _answer(Fate.DELAY, carried)


async def _leave(carried: _Carried) -> Passage:
    """The gateway hears of it, at once or amid the job: an order that it had not submitted by then, it drops."""
    await _send(carried)
    await _leaves_within(carried, carried.dice.choice((0, 0, carried.dice.uniform(0, 0.6))))
    _hang_up(carried)
    return Passage(carried.request, Fate.LEAVE, whole=True)


async def _lose(carried: _Carried) -> Passage:
    """The gateway does not hear of it, as behind a proxy that has not noticed yet."""
    await _send(carried)
    _hang_up(carried)
    status, _, _ = await _read_answer(carried.gate[0])
    return Passage(carried.request, Fate.LOSE, whole=True, answered=status)


async def _withhold(carried: _Carried) -> Passage:
    await _send(carried)
    status, _, _ = await _read_answer(carried.gate[0])
    await _left(carried.client[0])
    return Passage(carried.request, Fate.WITHHOLD, whole=True, answered=status)


async def _overtake(carried: _Carried) -> Passage:
    """It arrives after all, behind an answer to its retry, and the gateway does not hear that nobody waits for it."""
    await _left(carried.client[0])
    await carried.any_answer.wait()
    await _send(carried)
    status, _, _ = await _read_answer(carried.gate[0])
    return Passage(carried.request, Fate.OVERTAKE, whole=True, answered=status)


async def _answer(fate: Fate, carried: _Carried) -> Passage:
    """Its answer, or that part of it which is not lost; a client that leaves before it takes the gateway's connection along."""
    await _send(carried)
    reading = asyncio.ensure_future(_read_answer(carried.gate[0]))
    leaving = asyncio.ensure_future(_left(carried.client[0]))
    await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
    for each in (reading, leaving):
        each.cancel()
    await asyncio.wait({reading, leaving})
    if reading.cancelled():
        return Passage(carried.request, fate, whole=True)
    status, head, body = reading.result()
    passed = head + body
    if fate is Fate.CUT_HEAD:
        passed = passed[: carried.dice.randrange(len(head))]
    elif fate is Fate.CUT_BODY:
        passed = passed[: len(head) + carried.dice.randrange(len(body))]
    elif fate is Fate.DELAY_ANSWER:
        await _leaves_within(carried, carried.dice.uniform(0, LONGEST))
    with suppress(ConnectionError):  # it may have left by now
        carried.client[1].write(passed)
        await carried.client[1].drain()
    if fate not in _KEPT:
        _hang_up(carried)
    return Passage(carried.request, fate, whole=True, answered=status)


_BEFALL = {
    Fate.REFUSE: _refuse,
    Fate.CUT: _cut,
    Fate.SWALLOW: _swallow,
    Fate.DELAY: _delay,
    Fate.LEAVE: _leave,
    Fate.LOSE: _lose,
    Fate.WITHHOLD: _withhold,
    Fate.OVERTAKE: _overtake,
}
_KEPT = {Fate.PASS, Fate.DELAY, Fate.DELAY_ANSWER}


async def _send(carried: _Carried) -> None:
    carried.gate[1].write(carried.request.raw)
    await carried.gate[1].drain()


async def _send_part(carried: _Carried) -> None:
    """At least its last byte is missing."""
    raw = carried.request.raw
    carried.gate[1].write(raw[: carried.dice.randrange(len(raw))])
    await carried.gate[1].drain()


def _hang_up(carried: _Carried) -> None:
    """With a FIN, or without one (RST)."""
    if carried.dice.random() < 0.5:
        reset(carried.client[1])
    carried.client[1].close()


async def _left(reader: asyncio.StreamReader) -> None:
    """Until the client has hung up: it sends nothing more before it has its answer."""
    with suppress(ConnectionError):
        assert await reader.read(1) == b""


async def _leaves_within(carried: _Carried, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await _left(carried.client[0])
    except TimeoutError:
        return False
    return True


# --- HTTP, as far as a proxy needs it ------------------------------------------------------------------------------------


async def _request(reader: asyncio.StreamReader) -> Request | None:
    """The next on this connection; None when its client has hung up."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        headers = _headers(head)
        body = await reader.readexactly(int(headers["content-length"]))
    except (ConnectionError, asyncio.IncompleteReadError):
        return None
    return Request(head + body, json.loads(body)["prompt"], int(headers["x-stainless-retry-count"]))


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(_headers(head)["content-length"]))
    return int(head.split(b" ", 2)[1]), head, body


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in head.decode("ascii").split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}
