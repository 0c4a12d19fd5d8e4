"""What gateway and agent say to each other, as JSON: who works, what is claimed, how far it is and how it ended.

Spans of time, never instants: a GPU box's clock may be wrong. A claim, and all that is said of what it brought, carries an id
that the agent draws for each claim: said again because the answer was lost, it finds the same work; and an agent that was
taken for dead no longer owns what it still makes.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from gateway.core.job import Picture
from gateway.core.order import SEEDS, Codec, Operation

#: Of all messages together. A field more, with a default, is no new version: who does not know it leaves it out.
VERSION = 1

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
Line = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=0, le=2**31)]
Positive = Annotated[int, Meta(ge=1, le=2**31)]
Seed = Annotated[int, Meta(ge=0, lt=SEEDS)]
#: Of an engine for a piece, a day at most: what is reckoned from it stays a number.
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
#: Summed up over a worker's life, ten years at most.
Total = Annotated[float, Meta(ge=0, le=315_360_000)]
Bytes = Annotated[int, Meta(ge=0, le=2**50)]
#: Images in a call: one claim may not empty a long line.
Images = Annotated[int, Meta(ge=1, le=64)]

#: `too_large`: never fits this GPU; `oom`: it did not this time; `moderated`: the engine's own filter; `lost`: anything else.
Class = Literal["too_large", "oom", "moderated", "lost"]


class NotUnderstood(Exception):
    """Fit for whoever runs the agent."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION


class _Versioned(msgspec.Struct, frozen=True):
    """What every version has; none is taken for granted."""

    version: int


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Of a GPU, in bytes: what its last call held at most, what is set aside for such calls, and all there is."""

    used: Bytes
    reserved: Bytes
    total: Bytes


class Presence(Message, frozen=True, kw_only=True):
    """A worker as it is now; `load`: pieces in hand; a limit is that of one image.

    `engine` is the class of what makes its pictures (core.fingerprint); `seconds`: what a piece takes it, as it has learned of
    late, and 0 before the first one. `busy_seconds`, `images` and `ooms` count from its start on.
    """

    worker: Id
    gpu: Line
    model: Line
    revision: Line = ""
    engine: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}\Z")]
    seconds: Seconds = 0.0
    operations: Annotated[tuple[Operation, ...], Meta(max_length=8)] = ("generation",)
    #: what else it can do, for routes to ask
    features: Annotated[tuple[Line, ...], Meta(max_length=32)] = ()
    most_pixels: Positive
    most_references: Count = 0
    load: Count = 0
    draining: bool = False
    #: in which its engine made something
    busy_seconds: Total = 0.0
    #: that its engine made, whoever wanted them still
    images: Count = 0
    #: how often the GPU's memory gave out
    ooms: Count = 0
    #: None: there is no GPU, or it is not known
    memory: Memory | None = None
    #: from its start until it was ready
    load_seconds: Total = 0.0


class Claim(Message, frozen=True, kw_only=True):
    """Wait so long for work; `images` and `tokens` (core.worker_batch) bound what shares a call."""

    presence: Presence
    claim: Id
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    images: Images = 1
    tokens: Positive


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an order: one image for each seed. `references` and `mask` are paths on the gateway, and want the worker's
    token; the references are in order."""

    attempt: str
    model: str
    revision: str
    operation: Operation
    prompt: str
    negative_prompt: str | None
    seeds: tuple[Seed, ...]
    width: int
    height: int
    steps: int
    guidance: float
    max_sequence_length: int
    codec: Codec
    references: tuple[str, ...] = ()
    mask: str | None = None
    #: how many pictures of what it becomes are asked for on the way
    partials: int = 0
    #: ms from now after which nobody wants it
    wanted_ms: int
    #: which delivery this is, from 1
    delivery: int


class Claimed(Message, frozen=True, kw_only=True):
    """All of it may share one call; empty: there was none. It is the claim's for so long, unless extended."""

    work: tuple[Work, ...] = ()
    lease_ms: int


class Progress(Message, frozen=True, kw_only=True):
    """Extends the lease; 0 of `of` where nothing is known yet."""

    attempt: Line
    claim: Id
    step: Count = 0
    of: Count = 0


class Progressed(Message, frozen=True, kw_only=True):
    """`lease_ms` 0: it is the claim's no more, and whatever comes of it is not wanted from here."""

    lease_ms: int
    cancelled: bool = False


class EngineCall(msgspec.Struct, frozen=True):
    """One call of the engine: its images, whosever they are, and its seconds."""

    images: Images
    seconds: Seconds


class Finish(Message, frozen=True, kw_only=True):
    """One picture for each seed, in order, all of them uploaded; `calls`: those that made them and that no other piece's
    Finish tells of."""

    attempt: Line
    claim: Id
    pictures: Annotated[tuple[Picture, ...], Meta(min_length=1, max_length=64)]
    seconds: Seconds
    #: each image is made in one call or, where that was out of memory, in a second
    calls: Annotated[tuple[EngineCall, ...], Meta(max_length=128)] = ()


class Fail(Message, frozen=True, kw_only=True):
    attempt: Line
    claim: Id
    failure: Class
    message: Annotated[str, Meta(max_length=2000)] = ""


class Ended(Message, frozen=True, kw_only=True):
    """To Finish and Fail. `counts` False: it was another's by then."""

    counts: bool


class Held(msgspec.Struct, frozen=True):
    attempt: Line
    claim: Id


class Drain(Message, frozen=True, kw_only=True):
    """It takes no more work, and gives back what it has not begun. `left` False: it still finishes what it has begun."""

    worker: Id
    left: bool = True
    given_back: Annotated[tuple[Held, ...], Meta(max_length=256)] = ()


Any = TypeVar("Any", bound=Message)


def encode(message: Message) -> bytes:
    return msgspec.json.encode(message)


def decode(data: bytes, kind: type[Any]) -> Any:
    """Raises NotUnderstood. The version is read first: of another one, no field is known to mean what it does here."""
    try:
        version = msgspec.json.decode(data, type=_Versioned).version
        if version != VERSION:
            raise NotUnderstood(
                f"the message is of worker protocol {version}, and only {VERSION} is spoken here: "
                "gateway and worker want the same version of imagegate"
            )
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotUnderstood(f"the message is no {kind.__name__} of worker protocol {VERSION}: {error}") from error
