"""One process owns the file: every other maker of jobs is dead, and there is nobody to tell."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import apsw

from gateway.core.job import Job
from gateway.ports import Replicas
from gateway.stores.sqlite.rows import select_jobs
from gateway.stores.sqlite.writer import SqlitePort

_OPEN_ELSEWHERE = (
    "WHERE status IN ('queued', 'processing') AND leader IS NULL AND maker <> :maker ORDER BY created_at, seq"
)


class SqliteReplicas(SqlitePort, Replicas):
    async def alive(self, replica: str) -> None:
        pass

    async def leave(self, replica: str) -> None:
        pass

    async def take_over(self, replica: str) -> Sequence[Job]:
        return await self._writer.call("take_over", lambda db: _take_over(db, replica))

    async def announce(self, job_id: str) -> None:
        pass

    async def endings(self) -> AsyncIterator[str]:
        await asyncio.get_running_loop().create_future()
        yield ""


def _take_over(db: apsw.Connection, replica: str) -> list[Job]:
    found = select_jobs(db, _OPEN_ELSEWHERE, {"maker": replica})
    db.executemany("UPDATE jobs SET maker = ? WHERE id = ?", [(replica, job.id) for job in found])
    return [replace(job, maker=replica) for job in found]
