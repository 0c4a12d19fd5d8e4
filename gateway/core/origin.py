"""Where an exception was raised, without a word of its message: messages quote input, and input may be a prompt."""

import traceback
from collections.abc import Iterator

_FRAMES = 8
_CHAIN = 6


def origin(error: BaseException) -> str:
    """The classes of an exception and of those it came from or holds, with the innermost frames of each:
    `ValueError at edge/images.py:31 generations < … | KeyError at …`."""
    return " | ".join(f"{type(each).__qualname__}{frames(each)}" for each in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, then those it holds and those it came from; not without end."""
    waiting, met = [error], 0
    while waiting and met < _CHAIN:
        current = waiting.pop(0)
        met += 1
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        before = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if before is not None:
            waiting.append(before)


def frames(error: BaseException) -> str:
    """` at FILE:LINE FUNCTION < …`, the innermost first; nothing for an exception that was never raised."""
    places = [
        f"{'/'.join(frame.f_code.co_filename.split('/')[-3:])}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return " at " + " < ".join(reversed(places[-_FRAMES:])) if places else ""
