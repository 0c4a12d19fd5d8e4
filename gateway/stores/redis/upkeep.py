"""How the server fares, as far as it says."""

from typing import BinaryIO

from gateway.ports import StoreDown
from gateway.ports.upkeep import Condition, NoSnapshot, Upkeep
from gateway.stores.redis.port import RedisPort

#: Each write on the disk before its answer, and none thrown away for want of memory.
_DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


class RedisUpkeep(RedisPort, Upkeep):
    async def condition(self) -> Condition:
        said = (await self._link.command("condition", "INFO", "server")).decode()
        info = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        name = info.get("server_name", "redis")
        version = info.get(f"{name}_version", info.get("redis_version", "of unknown version"))
        settings = {name: await self._setting(name) for name in _DURABLE}
        return Condition(
            about=f"{name.capitalize()} {version} at {self._link.address}",
            durable=settings == _DURABLE,
            durability=", ".join(f"{name} {value}" for name, value in settings.items()),
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
