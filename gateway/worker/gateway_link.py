"""What the agent says to its gateway, and what an answer means: again, never again, or not yours."""

import random
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from math import inf
from typing import TypeVar

import msgspec

from gateway.core import worker_messages as wire
from gateway.core.images import LARGEST_REFERENCE
from gateway.core.job import Picture
from gateway.core.order import Codec
from gateway.core.worker_messages import (
    Claim,
    Claimed,
    Drain,
    Ended,
    Fail,
    Finish,
    Message,
    NotUnderstood,
    Presence,
    Progress,
    Progressed,
)
from gateway.ports import Clock, Fields
from gateway.worker.origin_calls import Answer, Ask, OriginCalls, Unreachable

#: `level`, `event`, fields: for who runs the agent, with nothing of an order's words in them.
Tell = Callable[[str, str, Fields], None]

#: Seconds of a short call, of an upload beside its bytes, and of a long poll beside its wait.
_SHORT, _UPLOAD, _BESIDE_POLL = 15.0, 30.0, 15.0
#: Bytes a second that the slowest line carries.
_SLOWEST = 64 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
#: A path on the gateway and nothing else: whatever else stood there could lead the token elsewhere.
_REFERENCES = "/worker/v1/references/"
_FINE, _REDIRECTS = range(200, 300), range(300, 400)
_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

_Said = TypeVar("_Said")
_Kind = TypeVar("_Kind", bound=Message)


class Refused(Exception):
    """The token is not taken. The words are for who runs the agent."""


class Misunderstood(Exception):
    """Gateway and agent do not speak the same. The words are for who runs the agent."""


class NotOurs(Exception):
    """The piece is another's by now, or nobody's."""


class Declined(Exception):
    """This call will not be taken, however often it is repeated."""


class GatewayLink:
    """Every call raises Unreachable, Refused and Misunderstood; those about a piece NotOurs and Declined, too."""

    def __init__(self, calls: OriginCalls, clock: Clock, tell: Tell) -> None:
        self._calls = calls
        self._clock = clock
        self._tell = tell
        #: since the last answer, seconds of the clock; None while there are answers
        self.silent_since: float | None = None

    async def persist(
        self, call: Callable[[], Awaitable[_Said]], patience: float = inf, wanted: Callable[[], bool] = lambda: True
    ) -> _Said:
        """The call's answer, however long the gateway is away. Raises Unreachable when `patience`, in seconds, is over, and
        NotOurs as soon as it is wanted no more."""
        pause, began = _FIRST_PAUSE, self._clock.monotonic()
        while wanted():
            try:
                return await call()
            except Unreachable as error:
                # apart from one another: a gateway that comes back meets all its workers at once
                rest = max(pause * random.uniform(0.5, 1.0), error.after)  # noqa: S311 - spreads load, guards nothing
                if self._clock.monotonic() - began + rest > patience:
                    raise
            await self._clock.sleep(rest)
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise NotOurs

    async def presence(self, presence: Presence) -> None:
        await self._first("/worker/v1/presence", presence)

    async def claim(self, claim: Claim) -> Claimed:
        return _read(await self._first("/worker/v1/claim", claim, claim.wait_s + _BESIDE_POLL), Claimed)

    async def drain(self, drain: Drain) -> None:
        await self._first("/worker/v1/drain", drain)

    async def progress(self, progress: Progress, deadline: float = _SHORT) -> Progressed:
        body = await self._asked(_post("/worker/v1/progress", progress, min(deadline, _SHORT)))
        return _read(body, Progressed)

    async def finish(self, finish: Finish) -> Ended:
        return _read(await self._asked(_post("/worker/v1/finish", finish)), Ended)

    async def fail(self, fail: Fail) -> Ended:
        return _read(await self._asked(_post("/worker/v1/fail", fail)), Ended)

    async def upload(self, attempt: str, claim: str, codec: Codec, data: bytes) -> Picture:
        query = (("attempt", attempt), ("claim", claim))
        body = await self._asked(_put("/worker/v1/pictures", query, codec, data))
        try:
            return msgspec.json.decode(body, type=Picture)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Misunderstood("the gateway's answer to an upload is no picture's") from error

    async def partial(self, attempt: str, claim: str, index: int, codec: Codec, data: bytes) -> None:
        query = (("attempt", attempt), ("claim", claim), ("index", str(index)))
        await self._asked(_put("/worker/v1/partials", query, codec, data))

    async def reference(self, path: str, attempt: str, claim: str) -> bytes:
        """For the piece that builds on it. Raises Declined, too, for a path that is none of the gateway's references."""
        name = path.removeprefix(_REFERENCES)
        if name == path or not name.replace(".", "").replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise Declined("a reference's path leads elsewhere")
        query = (("attempt", attempt), ("claim", claim))
        seconds = _UPLOAD + LARGEST_REFERENCE / _SLOWEST
        return await self._asked(Ask("GET", path, seconds, query, most=LARGEST_REFERENCE))

    async def _first(self, path: str, message: Message, deadline: float = _SHORT) -> bytes:
        """Of the agent as a whole: what is declined here is declined for ever."""
        try:
            return await self._asked(_post(path, message, deadline))
        except (Declined, NotOurs) as error:
            raise Misunderstood(f"the gateway declines it: {error}") from error

    async def _asked(self, ask: Ask) -> bytes:
        try:
            answer = await self._calls.call(ask)
            body = _judged(answer)
        except Unreachable as error:
            self._heard(str(error))
            raise
        self._heard(None)
        return body

    def _heard(self, fault: str | None) -> None:
        """Told once when the gateway falls silent, and once when it is back."""
        if fault is not None and self.silent_since is None:
            self.silent_since = self._clock.monotonic()
            self._tell("warning", "gateway_silent", {"reason": fault})
        elif fault is None and self.silent_since is not None:
            self._tell("info", "gateway_back", {"seconds": round(self._clock.monotonic() - self.silent_since, 1)})
            self.silent_since = None


def _post(path: str, message: Message, deadline: float = _SHORT) -> Ask:
    return Ask("POST", path, deadline, content=wire.encode(message))


def _put(path: str, query: tuple[tuple[str, str], ...], codec: Codec, data: bytes) -> Ask:
    return Ask("PUT", path, _UPLOAD + len(data) / _SLOWEST, query, data, f"image/{codec}")


def _judged(answer: Answer) -> bytes:
    """The body of an answer that is fine."""
    status = answer.status
    if status in _FINE:
        return answer.body
    words = _words(answer.body)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise Refused(words or f"HTTP {status}")
    if status in _REDIRECTS:
        raise Misunderstood("that address answers with a redirect; name the gateway's own, as https://…")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise Declined(words or "a proxy before the gateway takes no body so large")
    # An answer in no words of the gateway's is a proxy's, before which the gateway may be starting.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN or words is None:
        raise Unreachable(f"HTTP {status}", answer.after)
    if status == HTTPStatus.CONFLICT:
        raise NotOurs(words)
    raise Declined(words)


def _words(body: bytes) -> str | None:
    """The message of an error in OpenAI's envelope; None: it is none."""
    try:
        said = msgspec.json.decode(body, type=Mapping[str, Mapping[str, object]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = said.get("error", {}).get("message")
    return str(message)[:500] if message else None


def _read(body: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return wire.decode(body, kind)
    except NotUnderstood as error:
        raise Misunderstood(str(error)) from error
