"""The journal of jobs. Every step of an attempt names the states it may leave; from any other it changes nothing.

A step that is repeated because its answer was lost finds itself done, and is answered as it was the first time.
"""

import asyncio
from collections.abc import Sequence

from gateway.core.job import Attempt, Failure, Job, Passed, State, Status
from gateway.ports import Jobs, Spare, Unconfirmed
from gateway.stores.redis import indexes
from gateway.stores.redis.ending import release
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.port import RedisPort
from gateway.stores.redis.rows import to_job, to_json

#: Jobs read in one go: others wait for that long.
_PAGE = 50

_UNCONFIRMED = PREFIX + "attempts:unconfirmed"


class RedisJobs(RedisPort, Jobs):
    async def job(self, job_id: str) -> Job | None:
        return next(iter(await self._whole("job", [job_id])), None)

    async def list_jobs(
        self, *, team: str | None = None, status: Status | None = None, limit: int = 20, after: str | None = None
    ) -> Sequence[Job]:
        index = (
            f"jobs:status:{status}" if status is not None else indexes.ALL if team is None else indexes.of_team(team)
        )
        of_team = to_json(team) if status is not None and team is not None else None
        if team is not None and after is not None and not await self._is_of(after, team):
            return []  # what comes after another team's job would tell that there is one, and when it was made
        listed: list[Job] = []
        while len(listed) < limit:
            question = {"index": index, "team": of_team, "limit": min(_PAGE, limit - len(listed)), "after": after}
            last, *found = await self._link.script("list_jobs", "list_jobs", question)
            listed += map(to_job, found)
            if not last:
                break
            after = last.decode()
        return listed

    async def _is_of(self, job_id: str, team: str) -> bool:
        job = await self.job(job_id)
        return job is not None and job.team == team

    async def submitting(self, attempt_id: str, now: int, maker: str) -> bool:
        question = {"attempt": attempt_id, "now": to_json(now), "maker": to_json(maker)}
        return bool(await self._link.script("submitting", "submitting", question))

    async def submitted(self, attempt_id: str, upstream_id: str) -> None:
        question = {"attempt": attempt_id, "upstream_id": to_json(upstream_id)}
        await self._link.script("submitted", "submitted", question)

    async def unsubmitted(self, attempt_id: str, submitted_at: int, failure: Failure, now: int) -> bool:
        with self._unanswered.token("unsubmitted", attempt_id) as token:
            ending = release(failure, now, token)
            question = {"attempt": attempt_id, "submitted_at": to_json(submitted_at), "ending": ending}
            return bool(await self._link.script("unsubmitted", "unsubmitted", question))

    async def unconfirmed(self, attempt_id: str, failure: Failure, now: int, upstream_id: str | None = None) -> bool:
        question = {
            "attempt": attempt_id,
            "failure": to_json(failure),
            "now": to_json(now),
            "upstream_id": to_json(upstream_id),
        }
        return bool(await self._link.script("unconfirmed", "unconfirmed", question))

    async def moved(
        self,
        attempt_id: str,
        provider: str,
        price: int,
        passed: Sequence[Passed],
        now: int,  # noqa: ARG002 - as every step is told
        *,
        maker: str | None = None,
    ) -> bool:
        question = {
            "attempt": attempt_id,
            "provider": to_json(provider),
            "price": to_json(price),
            "passed": to_json(tuple(passed)),
            "maker": None if maker is None else to_json(maker),
        }
        return bool(await self._link.script("moved", "moved", question))

    async def detach(self, job_id: str) -> None:
        await self._link.script("detach", "change", {"row": f"job:{job_id}", "fields": ["detached", to_json(True)]})

    async def cancel(
        self,
        job_id: str,
        failure: Failure,
        now: int,
        *,
        unless: Spare | None = None,
        recalled: Sequence[str] = (),
    ) -> bool:
        with self._unanswered.token("cancel", job_id) as token:
            ending = release(failure, now, token)
            providers = [to_json(provider) for provider in recalled]
            question = {"job": job_id, "ending": ending, "unless": unless, "recalled": providers}
            return bool(await self._link.script("cancel", "cancel", question))

    async def followers(self, job_id: str, most: int) -> Sequence[tuple[str, int]]:
        index = f"{PREFIX}followers:{job_id}"
        flat = await self._link.command("followers", "ZRANGE", index, 0, most - 1, "WITHSCORES")
        return [(place[17:].decode(), int(at)) for place, at in zip(flat[::2], flat[1::2], strict=True)]

    async def open_jobs(self) -> Sequence[Job]:
        jobs = await self._whole("open_jobs", await self._open("open_jobs"))
        return [job for job in jobs if not job.ended]

    async def oldest_submitted(self) -> int | None:
        index = PREFIX + "attempts:submitted"
        first = await self._link.command("oldest_submitted", "ZRANGE", index, 0, 0, "WITHSCORES")
        return int(first[1]) if first else None

    async def unconfirmed_attempts(self, submitted_before: int) -> Sequence[tuple[Job, Attempt]]:
        op = "unconfirmed_attempts"
        ids = await self._link.command(op, "ZRANGEBYSCORE", _UNCONFIRMED, "-inf", f"({submitted_before}")
        of_jobs = await asyncio.gather(*(self._link.command(op, "HGET", _attempt(each), ".job") for each in ids))
        jobs = {job.id: job for job in await self._whole(op, sorted({job.decode() for job in of_jobs if job}))}
        found: list[tuple[Job, Attempt]] = []
        for attempt_id, of_job in zip(ids, of_jobs, strict=True):
            job = jobs.get(of_job.decode()) if of_job else None
            attempts = job.attempts if job else ()
            found += [
                (job, attempt)
                for attempt in attempts
                if job and attempt.id == attempt_id.decode() and attempt.state is State.UNCONFIRMED
            ]
        return found

    async def unconfirmed_total(self) -> Unconfirmed:
        op = "unconfirmed_total"
        ids = await self._link.command(op, "ZRANGE", _UNCONFIRMED, 0, -1)
        rows = await asyncio.gather(*(self._link.command(op, "HMGET", _attempt(each), ".job", "held") for each in ids))
        return Unconfirmed(len({job for job, _ in rows}), sum(int(held or 0) for _, held in rows))

    async def _open(self, op: str) -> list[str]:
        """Ids of the open jobs that follow no other, oldest first."""
        open_ = (f"{PREFIX}jobs:status:{status}" for status in (Status.QUEUED, Status.PROCESSING))
        reads = (self._link.command(op, "ZRANGE", index, 0, -1, "WITHSCORES") for index in open_)
        flat = [each for places in await asyncio.gather(*reads) for each in places]
        places = sorted({(int(created_at), place) for place, created_at in zip(flat[::2], flat[1::2], strict=True)})
        named = (place.partition(b" ") for _, place in places)
        return [job_id.decode() for _, follows_none, job_id in named if follows_none]

    async def _whole(self, op: str, ids: Sequence[str]) -> list[Job]:
        jobs: list[Job] = []
        for start in range(0, len(ids), _PAGE):
            jobs += map(to_job, await self._link.script(op, "jobs", {"jobs": ids[start : start + _PAGE]}))
        return jobs


def _attempt(attempt_id: bytes) -> bytes:
    return f"{PREFIX}attempt:".encode() + attempt_id
