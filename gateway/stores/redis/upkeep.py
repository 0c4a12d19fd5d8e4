"""How the server fares, as far as it says."""

from typing import BinaryIO

from gateway.ports import StoreDown
from gateway.ports.upkeep import Condition, NoSnapshot, Upkeep
from gateway.stores.redis.port import RedisPort


class RedisUpkeep(RedisPort, Upkeep):
    async def condition(self) -> Condition:
        said = (await self._link.command("condition", "INFO", "server")).decode()
        info = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        name = info.get("server_name", "redis")
        version = info.get(f"{name}_version", info.get("redis_version", "of unknown version"))
        appendonly, appendfsync = await self._setting("appendonly"), await self._setting("appendfsync")
        return Condition(
            about=f"{name.capitalize()} {version} at {self._link.address}",
            durable=(appendonly, appendfsync) == ("yes", "always"),
            durability=f"appendonly {appendonly}, appendfsync {appendfsync}",
        )

    async def snapshot(self) -> BinaryIO:
        raise NoSnapshot("Redis makes its own copies: keep its append-only file or the file that BGSAVE writes")

    async def _setting(self, name: str) -> str:
        """`unknown` where the server does not say: managed ones may not."""
        try:
            answer = await self._link.command("condition", "CONFIG", "GET", name)
        except StoreDown:
            await self._link.command("condition", "PING")  # or it is down indeed
            return "unknown"
        return answer[1].decode() if answer else "unknown"
