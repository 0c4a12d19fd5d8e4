"""Running the intake's child process: few at once, for a bounded time, and none left behind."""

import asyncio
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from struct import unpack
from typing import IO

import msgspec

from gateway.core.errors import InvalidRequest, NoCapacity
from gateway.core.order import Upload
from gateway.edge.intake_answer import LENGTH, LONGEST_HEAD, Address, Answer, Wish

_MODULE = "gateway.edge.intake_process"
#: A megapixel of noise is 3.2 MB as PNG.
_LARGEST_PICTURE = 8 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}\.(png|jpeg)")
_READ = 1024 * 1024
_RETRY_AFTER = 5.0


@dataclass(frozen=True, slots=True)
class ChildLimits:
    at_once: int = 2
    #: bodies that may wait for their turn: at half a second each, the last one waits for 16 s
    waiting: int = 64
    #: of a child's life
    seconds: float = 30.0
    #: of processor time
    cpu_s: int = 20
    #: bytes of its address space: a WebP of 4096 x 4096 takes 270 MB, its body as JSON and the copies on the way 200
    memory: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Read:
    """What a body held. `images` in the order in which they were sent."""

    fields: dict[str, object]
    form: bool
    images: tuple[Upload | Address, ...]


class ChildFailed(Exception):
    """It gave no answer. The message is for the log, `told` for the client."""

    def __init__(self, message: str, told: str = "it cannot be decoded") -> None:
        super().__init__(message)
        self.told = told


class Children:
    def __init__(self, environment: Mapping[str, str], limits: ChildLimits) -> None:
        self.limits = limits
        self._environment = environment
        self._turns = asyncio.Semaphore(limits.at_once)
        self._waiting = 0

    async def read(self, wish: Wish, body: IO[bytes]) -> Read:
        """Raises InvalidRequest, ChildFailed, and NoCapacity when too many wait already."""
        if self._waiting >= self.limits.waiting:
            raise NoCapacity("Too many images are being read.", retry_after=_RETRY_AFTER)
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._run(wish, body)
        finally:
            self._turns.release()

    async def _run(self, wish: Wish, body: IO[bytes]) -> Read:
        process = await self._start(wish, body)
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            async with asyncio.timeout(self.limits.seconds):
                return await _answer(process.stdout)
        except TimeoutError:
            raise ChildFailed("the intake's child took too long", "decoding it took too long") from None
        except (asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            await _end(process)
            raise ChildFailed(f"the intake's child ended by {process.returncode}") from error
        finally:
            await _end(process)

    async def _start(self, wish: Wish, body: IO[bytes]) -> Process:
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", _MODULE, msgspec.json.encode(wish).decode()),
                stdin=body,
                stdout=PIPE,
                stderr=DEVNULL,
                env=self._environment,
                limit=_READ,
            )
        except OSError as error:  # neither processes, memory nor descriptors are without end
            raise NoCapacity("The gateway cannot read images now.", retry_after=_RETRY_AFTER) from error


async def _answer(stream: asyncio.StreamReader) -> Read:
    (length,) = unpack(">I", await stream.readexactly(LENGTH))
    if length > LONGEST_HEAD:
        raise ChildFailed("the intake's child answered nonsense")
    answer = msgspec.json.decode(await stream.readexactly(length), type=Answer)
    if answer.failure is not None:
        raise ChildFailed(answer.failure)
    if answer.refusal is not None:
        raise InvalidRequest(answer.refusal.message, code=answer.refusal.code, param=answer.refusal.param)
    images: list[Upload | Address] = []
    for image in answer.images:
        if isinstance(image, Address):
            images.append(image)
            continue
        reference = image.reference
        # The name becomes a path, and the size memory.
        if not _NAME.fullmatch(reference.name) or not 0 < reference.size <= _LARGEST_PICTURE:
            raise ChildFailed("the intake's child answered nonsense")
        images.append(Upload(reference, await stream.readexactly(reference.size)))
    return Read(answer.fields, answer.form, tuple(images))


async def _end(process: Process) -> None:
    """However often we are cancelled, as a loop does that closes, its end is awaited and its pipe emptied: a killed process
    ends at once, and neither a zombie nor an open pipe stays."""
    if process.returncode is None:
        process.kill()
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            await process.communicate()
            break
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
