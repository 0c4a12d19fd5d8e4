"""Bells on a channel of their own."""

from collections.abc import AsyncIterator
from contextlib import suppress

from gateway.ports import Bells, StoreDown
from gateway.stores.redis.channel import heard
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.link import Link

_BELLS = PREFIX + "bells"


class RedisBells(Bells):
    def __init__(self, link: Link) -> None:
        self._link = link

    async def ring(self, word: str) -> None:
        with suppress(StoreDown):
            await self._link.command("ring", "PUBLISH", _BELLS, word)

    def rung(self) -> AsyncIterator[str]:
        return heard(self._link, _BELLS)
