"""Which job a repeated call is given."""

from gateway.core.job import Job
from gateway.ports import Retries
from gateway.ports.retries import ADOPTABLE
from gateway.stores.redis import indexes
from gateway.stores.redis.port import RedisPort
from gateway.stores.redis.rows import to_job, to_json


class RedisRetries(RedisPort, Retries):
    async def adopt(self, key_id: str, body_hash: str, retry_count: int, since: int, now: int) -> Job | None:
        with self._unanswered.token("adopt", key_id, body_hash, str(retry_count)) as token:
            question = {
                "key": key_id,
                "body_hash": body_hash,
                "index": indexes.of_body(key_id, body_hash),
                "retry_count": retry_count,
                "since": since,
                "now": now,
                "most": ADOPTABLE,
                "token": token,
            }
            found = await self._link.script("adopt", "adopt", question)
        return to_job(found) if found else None

    async def refused(self, key_id: str, body_hash: str, retry_count: int, now: int, until: int) -> None:
        with self._unanswered.token("refused", key_id, body_hash, str(retry_count), str(now)) as token:
            question = {
                "key": key_id,
                "body_hash": body_hash,
                "retry_count": str(retry_count),
                "now": now,
                "till": str(until),
                "wait": until - now,
                "token": token,
            }
            await self._link.script("refused", "refused", question)

    async def repeated(self, key_id: str, idempotency: str, body_hash: str, since: int) -> Job | None:
        question = {
            "idempotent": indexes.of_idempotency(key_id, idempotency),
            "body_hash": to_json(body_hash),
            "since": since,
        }
        found = await self._link.script("repeated", "repeated", question)
        return to_job(found) if found else None
