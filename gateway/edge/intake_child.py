"""Running the intake's child process: few at once, for a bounded time, and none left behind."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from struct import unpack
from typing import IO

import msgspec

from gateway.core.errors import InvalidRequest
from gateway.core.images import LARGEST_MASK, Frame
from gateway.core.order import Upload
from gateway.edge.intake_answer import LENGTH, LONGEST_HEAD, Address, Answer, Held, Made, Wish
from gateway.edge.intake_limits import IntakeLimits, busy, turn

_MODULE = "gateway.edge.intake_process"
#: A megapixel of noise is 3.2 MB as PNG.
_LARGEST_PICTURE = 8 * 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}\.(png|jpeg)")
_READ = 1024 * 1024
#: By which others end a process: the OOM killer, an operator. Those of a crash are not among them, nor that of `RLIMIT_CPU`.
_ENDED = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})


@dataclass(frozen=True, slots=True)
class Read:
    """What a body held, as its `Answer` says; `images` in the order in which they were sent. A mask of bytes is as it came."""

    fields: dict[str, object]
    form: bool
    binary: tuple[str, ...]
    param: str
    images: tuple[Upload | Address, ...]
    frame: Frame | None
    mask: Upload | Address | bytes | None


class ChildFailed(Exception):
    """It gave no answer, because of the body that it read. The message is for the log."""


class ChildLost(Exception):
    """It gave no answer, and the body need not be to blame: the machine is busy, or somebody ended the process."""


class Children:
    def __init__(self, environment: Mapping[str, str], limits: IntakeLimits) -> None:
        self._limits = limits
        self._environment = environment
        self._turns = asyncio.Semaphore(limits.children)

    async def read(self, wish: Wish, body: IO[bytes], patience: float) -> Read:
        """`patience`: seconds to wait for a child. Raises InvalidRequest, ChildFailed, ChildLost and NoCapacity."""
        async with turn(self._turns, patience):
            return await self._run(wish, body)

    async def _run(self, wish: Wish, body: IO[bytes]) -> Read:
        process = await self._start(wish, body)
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            async with asyncio.timeout(self._limits.life_s):
                return await _answer(process.stdout)
        except TimeoutError:
            raise ChildLost("the intake's child took too long") from None
        except msgspec.DecodeError as error:
            raise ChildFailed("the intake's child answered nonsense") from error
        except asyncio.IncompleteReadError as error:
            await _end(process)
            raise _without_answer(process.returncode or 0) from error
        finally:
            await _end(process)

    async def _start(self, wish: Wish, body: IO[bytes]) -> Process:
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", _MODULE, msgspec.json.encode(wish).decode()),
                *(str(self._limits.memory), str(self._limits.cpu_s)),
                stdin=body,
                stdout=PIPE,
                stderr=DEVNULL,
                env=self._environment,
                limit=_READ,
            )
        except OSError as error:  # neither processes, memory nor descriptors are without end
            raise busy("The gateway cannot read images now.") from error


def _without_answer(status: int) -> Exception:
    """A status above zero is Python's own: the module did not even start."""
    told = f"the intake's child ended by {status}"
    return ChildLost(told) if status > 0 or status in _ENDED else ChildFailed(told)


async def _answer(stream: asyncio.StreamReader) -> Read:
    (length,) = unpack(">I", await stream.readexactly(LENGTH))
    if length > LONGEST_HEAD:
        raise ChildFailed("the intake's child answered nonsense")
    answer = msgspec.json.decode(await stream.readexactly(length), type=Answer)
    if answer.failure is not None:
        raise ChildFailed(answer.failure)
    if answer.refusal is not None:
        raise InvalidRequest(answer.refusal.message, code=answer.refusal.code, param=answer.refusal.param)
    images = [await _picture(stream, image) for image in answer.images]
    mask: Upload | Address | bytes | None = None
    if isinstance(answer.mask, Held):
        if not 0 < answer.mask.size < LARGEST_MASK:
            raise ChildFailed("the intake's child answered nonsense")
        mask = await stream.readexactly(answer.mask.size)
    elif answer.mask is not None:
        mask = await _picture(stream, answer.mask, mask=True)
    return Read(answer.fields, answer.form, answer.binary, answer.param, tuple(images), answer.frame, mask)


async def _picture(stream: asyncio.StreamReader, image: Made | Address, *, mask: bool = False) -> Upload | Address:
    if isinstance(image, Address):
        return image
    reference = image.reference
    # The name becomes a path, and the size memory.
    if not _NAME.fullmatch(reference.name) or not 0 < reference.size <= _LARGEST_PICTURE:
        raise ChildFailed("the intake's child answered nonsense")
    return Upload(reference, await stream.readexactly(reference.size), mask)


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
