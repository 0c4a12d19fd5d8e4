"""Which replicas live, who makes which job, and the word that one has ended."""

from collections.abc import AsyncIterator, Sequence

from gateway.core.job import Job
from gateway.ports import LEASE, Replicas
from gateway.stores.redis.channel import heard
from gateway.stores.redis.jobs import RedisJobs
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.rows import to_job, to_json

_LEASE = int(LEASE * 1000)
_ENDINGS = PREFIX + "endings"

#: Jobs taken over in one go: others wait for that long.
_PAGE = 50


class RedisReplicas(RedisJobs, Replicas):
    async def alive(self, replica: str) -> None:
        await self._link.command("alive", "SET", _replica(replica), "", "PX", _LEASE)

    async def leave(self, replica: str) -> None:
        await self._link.command("leave", "DEL", _replica(replica))

    async def take_over(self, replica: str) -> Sequence[Job]:
        reserved = self._unanswered.tokens("reserve", settled=True)
        taken: list[Job] = []
        with self._unanswered.token("take_over", replica) as token:
            unheard = self._unanswered.tokens("reserve")
            ids = await self._open("take_over")
            for start in range(0, len(ids), _PAGE):
                question = {
                    "replica": to_json(replica),
                    "lease": _LEASE,
                    "jobs": ids[start : start + _PAGE],
                    "unheard": unheard,
                    "token": token,
                }
                taken += map(to_job, await self._link.script("take_over", "take_over", question))
        self._unanswered.forget(reserved)
        return taken

    async def announce(self, job_id: str) -> None:
        await self._link.command("announce", "PUBLISH", _ENDINGS, job_id)

    def endings(self) -> AsyncIterator[str]:
        return heard(self._link, _ENDINGS)


def _replica(replica: str) -> str:
    return f"{PREFIX}replica:{to_json(replica)}"
