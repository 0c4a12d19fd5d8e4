"""The id of what is kept here, which goes with it when a server is flushed; and the replica that sweeps."""

from gateway.ports import Custody
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.port import RedisPort

_STORE_ID = PREFIX + "store_id"


class RedisCustody(RedisPort, Custody):
    async def store_id(self, fresh: str | None) -> str | None:
        if fresh is not None:
            await self._link.command("store_id", "SET", _STORE_ID, fresh, "NX")
        kept: bytes | None = await self._link.command("store_id", "GET", _STORE_ID)
        return None if kept is None else kept.decode()

    async def sweeps(self, replica: str, seconds: float) -> bool:
        question = {"replica": replica, "lease": int(seconds * 1000)}
        return bool(await self._link.script("sweeps", "sweeps", question))
