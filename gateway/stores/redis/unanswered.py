"""Calls whose answer was lost, each under a token that its repeat carries, so that the script knows it again."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.core.lots import Lots
from gateway.stores.redis.link import DEADLINE

#: Most are never repeated: their callers have told their clients 503 and forgotten them.
_MOST = 10_000
_LOTS = Lots(secrets.token_bytes)


@dataclass(frozen=True, slots=True)
class _Lost:
    token: str
    #: when it is done, or never will be: a caller that is cancelled leaves before that
    settled: float


class Unanswered:
    def __init__(self) -> None:
        self._lost: dict[tuple[str, ...], _Lost] = {}

    @contextmanager
    def token(self, *call: str) -> Iterator[str]:
        """For one call, which its operation and what it is about name: that of the try before, if its answer was lost."""
        lost = self._lost.pop(call, None)
        token = lost.token if lost else _LOTS.take(8).hex()
        try:
            yield token
        except BaseException:
            if len(self._lost) >= _MOST:
                del self._lost[next(iter(self._lost))]
            self._lost[call] = _Lost(token, asyncio.get_running_loop().time() + DEADLINE)
            raise

    def tokens(self, op: str, *, settled: bool = False) -> Sequence[str]:
        """Of the lost calls of that operation; `settled`: only of those that will not be done any more."""
        now = asyncio.get_running_loop().time()
        return [
            lost.token for call, lost in self._lost.items() if call[0] == op and (not settled or lost.settled <= now)
        ]

    def forget(self, tokens: Sequence[str]) -> None:
        """What these calls did, if anything, has been found."""
        for call in [call for call, lost in self._lost.items() if lost.token in tokens]:
            del self._lost[call]
