"""Worker tokens at rest."""

import asyncio
from collections.abc import Sequence

from gateway.ports import WorkerToken, WorkerTokens
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.port import RedisPort
from gateway.stores.redis.rows import to_flat, to_json, to_row


class RedisWorkerTokens(RedisPort, WorkerTokens):
    async def add_worker_token(self, token: WorkerToken) -> None:
        with self._unanswered.token("add_worker_token", token.id) as call:
            question = {"id": token.id, "token": call, "created_at": token.created_at, "fields": to_flat(token)}
            added = await self._link.script("add_worker_token", "add_worker_token", question)
        if not added:
            raise ValueError(f"the worker token {token.id} exists")

    async def worker_token(self, token_id: str) -> WorkerToken | None:
        row = await self._link.command("worker_token", "HGETALL", f"{PREFIX}worker_token:{token_id}")
        return to_row(row, WorkerToken) if row else None

    async def worker_tokens(self) -> Sequence[WorkerToken]:
        ids = await self._link.command("worker_tokens", "ZRANGE", PREFIX + "worker_tokens", 0, -1)
        found = await asyncio.gather(*(self.worker_token(token_id.decode()) for token_id in ids))
        return [token for token in found if token is not None]

    async def revoke_worker_token(self, token_id: str, now: int) -> bool:
        change = {"row": f"worker_token:{token_id}", "fields": ["revoked_at", to_json(now)], "unless": "revoked_at"}
        return bool(await self._link.script("revoke_worker_token", "change", change))
