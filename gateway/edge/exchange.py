"""What is learned of a request on its way, for its one log line, its metrics, and headers that all its answers have."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from litestar import Request

from gateway.core.errors import GatewayError, InvalidApiKey, RateLimited
from gateway.core.job import Job
from gateway.core.phases import Phase, PhaseMarks, own
from gateway.core.rate import Room, duration
from gateway.edge.envelope import App, Header, Message, Receive, Send, common_headers, new_request_id
from gateway.edge.head import Head
from gateway.edge.trace import trace_id

Call = Request[Any, Any, Any]


@dataclass(slots=True)
class Exchange:
    """One request. Its fields are those of the telemetry's `Answered`."""

    request_id: str
    method: str
    head: Head = field(default_factory=Head)
    #: the pipeline's clock, by which it tells where the time went
    monotonic: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    route: str = "unknown"
    status: int = 499
    #: has its answer begun to be sent?
    begun: bool = False
    code: str | None = None
    level: str = "info"
    seconds: float = 0.0
    #: seconds of it in which nothing was done and nothing was to be, as in a long poll: they are no part of `seconds`
    idle: float = 0.0
    #: of a request for images: where its time goes, in the end as seconds of each phase, which add up to it
    marks: PhaseMarks | None = None
    phases: Mapping[Phase, float] = field(default_factory=dict)
    #: of the trace that it is a part of, as its client's tracing says
    trace_id: str | None = None
    key_id: str | None = None
    team: str | None = None
    model: str | None = None
    job: str | None = None
    cache: str | None = None
    cost: int | None = None
    #: for the log alone: why a key or a request was refused, or what was raised and where
    reason: str | None = None
    #: what is left of the limits a minute, of `requests` and of `images`, as far as there are any
    rooms: dict[str, Room] = field(default_factory=dict)
    #: the budgets that are nearly used up
    warning: str | None = None

    def __post_init__(self) -> None:
        self.started = self.monotonic()

    @property
    def overhead(self) -> float | None:
        """Of a request for images that came as far as a job."""
        return own(self.phases) if self.phases and self.job else None

    def elapsed(self) -> float:
        """Seconds since it came."""
        return self.monotonic() - self.started

    def for_images(self) -> PhaseMarks:
        """It asks for images: where its time goes is told."""
        self.marks = PhaseMarks()
        self.marks.enter("admit", self.started)
        return self.marks

    def answering(self) -> None:
        if self.marks is not None:
            self.marks.enter("answer", self.monotonic())

    def end(self) -> None:
        now = self.monotonic()
        self.seconds = now - self.started - self.idle
        if self.marks is not None:
            self.phases = self.marks.seconds(now)

    def elapsed_ms(self) -> int:
        return round(self.elapsed() * 1000)

    def left(self, what: str, room: Room | None) -> None:
        """Of the limit on `requests` or `images` a minute."""
        if room is not None:
            self.rooms[what] = room

    def headers(self) -> list[Header]:
        """Those that any answer to this request has, whoever makes it."""
        common = common_headers(self.request_id)
        if not (self.rooms or self.warning):
            return common
        told = [("x-imagegate-budget-warning", self.warning)] if self.warning else []
        for what, room in self.rooms.items():
            told.append((f"x-ratelimit-limit-{what}", str(room.limit)))
            told.append((f"x-ratelimit-remaining-{what}", str(room.remaining)))
            told.append((f"x-ratelimit-reset-{what}", duration(room.reset)))
        return [*common, *((name.encode(), value.encode()) for name, value in told)]

    def about(self, job: Job, cache: str, cost: int) -> None:
        """`cost` of the answer, in micro-dollars."""
        self.job, self.cache, self.model, self.cost = job.id, cache, job.order.model, cost

    def failed(self, error: GatewayError, reason: str | None = None) -> None:
        """The first error counts: it is what the client was told."""
        if self.code is None:
            self.code, self.level, self.reason = error.code, error.level, reason
            self.job = self.job or error.job_id
            if isinstance(error, InvalidApiKey):
                self.reason, self.key_id = error.reason, error.key_id
            if isinstance(error, RateLimited):
                limit = error.exceeded.limit
                self.reason = f"{limit.kind} of {limit.scope}"
                self.left("requests" if limit.kind == "requests_per_minute" else "images", error.exceeded.room)

    def refused(self, error: GatewayError) -> None:
        """The server has answered in the app's place."""
        self.code, self.status = None, error.status
        self.failed(error)


class Observer(Protocol):
    def request(self, answered: Exchange) -> None: ...


def of(request: Call) -> Exchange:
    exchange = request.scope["state"]["exchange"]
    assert isinstance(exchange, Exchange)  # noqa: S101 - put there by Observed, which wraps everything
    return exchange


class Observed:
    """The outermost ASGI layer: names each request, times it and tells the observer once, whatever became of it.

    Sets `request_id: str` and `exchange: Exchange` in the scope's state.
    """

    def __init__(self, app: App, observer: Observer, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._monotonic = monotonic
        #: the server tells it of what never becomes a request
        self.observer = observer

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request_id = state.get("request_id") or state.setdefault("request_id", new_request_id())
        exchange = Exchange(request_id, scope["method"], Head(scope["headers"]), self._monotonic)
        exchange.trace_id = trace_id(exchange.head)
        state["exchange"] = exchange

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status, exchange.begun = message["status"], True
                exchange.answering()
                message = {**message, "headers": [*message.get("headers", ()), *exchange.headers()]}
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            exchange.end()
            exchange.route = _route(scope)
            if refused := state.get("refused"):
                exchange.refused(refused)
            self.observer.request(exchange)


def _route(scope: Message) -> str:
    """The handler's name, never the path: that may hold a signature, and has no end of values."""
    handler = scope.get("route_handler")
    name = getattr(handler, "name", None)
    return name or ("admin" if scope["path"].startswith("/admin/v1/") else "unknown")


@asynccontextmanager
async def watching(receive: Callable[[], Awaitable[Any]]) -> AsyncIterator[asyncio.Future[None]]:
    """A future that ends when the client goes away. The body must have been read."""
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        yield gone
    finally:
        gone.cancel()


async def _until_gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
