"""Randomness from the system, fetched in bulk.

Each trip to the system lets go of the interpreter, and under load another thread has it by then: three of them took a third
of what a hit of the cache costs.
"""

from collections.abc import Callable

#: Bytes of one trip; an id takes some twenty.
_BULK = 4096


class Lots:
    """Unguessable, as its source is; each byte is given out once. For one thread."""

    def __init__(self, source: Callable[[int], bytes]) -> None:
        """`source`: so many fresh bytes (`secrets.token_bytes`)."""
        self._source = source
        self._drawn = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """`size` bytes, of which no more than 4096 can be had."""
        if not 0 <= size <= _BULK:
            raise ValueError(f"{size} bytes are more than are drawn at once")
        if self._at + size > len(self._drawn):
            self._drawn, self._at = self._source(_BULK), 0
        begin, self._at = self._at, self._at + size
        return self._drawn[begin : self._at]

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1, each as likely."""
        if bound < 1:
            raise ValueError(f"nothing is below {bound}")
        bits = (bound - 1).bit_length()
        size, surplus = -(-bits // 8), -bits % 8
        while (number := int.from_bytes(self.take(size)) >> surplus) >= bound:
            pass  # at worst every other one
        return number
