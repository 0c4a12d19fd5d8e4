"""The log: one line an event on one stream, as JSON or for a person, with nothing in it that `redaction` hides."""

import datetime as dt
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal, Protocol, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from gateway.core.money import MICROS
from gateway.core.phases import Phase
from gateway.ports import Fields
from gateway.telemetry.redaction import clean, describe, without_quotes

LogFormat = Literal["json", "console"]
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Log:
    """Writes events at or above a level that may change while it runs. `now` gives ms since the epoch."""

    def __init__(self, stream: TextIO, log_format: LogFormat, level: str, now: Callable[[], int]) -> None:
        self._now = now
        self.set_level(level)
        self._sink = _Sink(stream)
        self._render = _renderer(log_format, colours=stream.isatty())
        #: for who writes structlog's way (`log.logger.info("listening", port=8080)`); it follows the level, too
        self.logger: FilteringBoundLogger = structlog.wrap_logger(
            self._sink,
            processors=(self._line, self._render),
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            context_class=dict,
        ).bind()

    @property
    def level(self) -> str:
        return self._level

    def set_level(self, level: str) -> None:
        """Raises ValueError naming the levels there are."""
        if level not in LEVELS:
            raise ValueError(f"{level!r} is no log level: choose {', '.join(LEVELS)}")
        self._level, self._least = level, LEVELS[level]

    def writes(self, level: str) -> bool:
        """Would it write what is at that level? Asked where the fields themselves take time."""
        return LEVELS.get(level, logging.ERROR) >= self._least

    def write(self, level: str, event: str, fields: Fields) -> None:
        """`event` is a short fixed sentence; what varies goes into `fields`. A level we do not know counts as error."""
        if not self.writes(level):
            return
        name = level if level in LEVELS else "error"
        # the processors without structlog's copy of the logger, which would cost as much as they do
        self._sink.info(str(self._render(None, name, self._line(None, name, {**fields, "event": event}))))

    def _line(self, _: WrappedLogger, level: str, event: EventDict) -> EventDict:
        """The first of structlog's processors: drops what is below the level, orders the fields and cleans each."""
        if LEVELS.get(level, logging.ERROR) < self._least:
            raise structlog.DropEvent
        at = dt.datetime.fromtimestamp(self._now() / 1000, tz=dt.UTC).isoformat(timespec="milliseconds")
        line = {"timestamp": at, "level": level, "event": clean("event", event["event"])}
        return line | {name: clean(name, value) for name, value in event.items() if name not in line}


class Answered(Protocol):
    """What the edge tells of a request it answered: its own record of this shape (the floors let neither import the other)."""

    @property
    def request_id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def route(self) -> str:
        """The route's name; never the path, which may hold a signature."""

    @property
    def status(self) -> int:
        """Of the answer; 499 when the client had left."""

    @property
    def code(self) -> str | None:
        """The contract's error code."""

    @property
    def level(self) -> str:
        """How loud the error is; `info` for an answer that is none."""

    @property
    def seconds(self) -> float: ...
    @property
    def phases(self) -> Mapping[Phase, float]:
        """Of a request for images: what they went into, without a gap."""

    @property
    def overhead(self) -> float | None:
        """Those that the gateway itself took, of a request that came as far as a job."""

    @property
    def trace_id(self) -> str | None:
        """Of the trace that its client says it is a part of: 32 hex digits."""

    @property
    def key_id(self) -> str | None: ...
    @property
    def team(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def job(self) -> str | None: ...
    @property
    def cache(self) -> str | None: ...
    @property
    def cost(self) -> int | None:
        """Micro-dollars."""

    @property
    def reason(self) -> str | None:
        """Why a key was refused, or what was raised and where; never a value that somebody sent."""


def request_line(answered: Answered) -> Fields:
    """The fields of a request's one line; what is not known is left out."""
    fields: Fields = {
        "request_id": answered.request_id,
        "trace_id": answered.trace_id,
        "method": answered.method,
        "route": answered.route,
        "status": answered.status,
        "code": answered.code,
        "ms": round(answered.seconds * 1000, 1),
        "key": answered.key_id,
        "team": answered.team,
        "model": answered.model,
        "job": answered.job,
        "cache": answered.cache,
        "cost_dollars": None if answered.cost is None else answered.cost / MICROS,
        "reason": answered.reason,
    }
    return {name: value for name, value in fields.items() if value is not None}


@contextmanager
def standard_logging(log: Log) -> Iterator[None]:
    """Warnings and worse of libraries (uvicorn, asyncio, …) become lines of `log` while this is open."""
    root, bridge = logging.getLogger(), _Bridge(log)
    before = root.level
    root.addHandler(bridge)
    root.setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(bridge)


class _Bridge(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (
            TypeError,
            ValueError,
            KeyError,
        ):  # arguments that do not fit; logging's own report would print them raw
            message = str(record.msg)
        fields = {"logger": record.name}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["raised"] = describe(error)
        # asyncio's message holds the repr of an exception, and with it perhaps somebody's prompt
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._log.write(level, without_quotes(message), fields)


class _Sink:
    """The end of structlog's chain: it calls the method named as the level with the finished line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def info(self, line: str) -> None:
        # A full disk or a reader that left must not fail the request that is being told of, and there is nowhere to say so.
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()

    debug = warning = error = critical = info


def _renderer(log_format: LogFormat, *, colours: bool) -> Processor:
    if log_format == "console":
        return structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False)
    # an encoder made once: json.dumps makes one for every line
    encode = json.JSONEncoder(default=repr).encode
    return structlog.processors.JSONRenderer(lambda line, **_: encode(line))
