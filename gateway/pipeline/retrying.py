"""Calls that are repeated: by an SDK, with nothing but a count to tell, or under an `Idempotency-Key`. One buys once."""

from contextlib import suppress

from gateway.core.errors import GatewayError, IdempotencyKeyReused
from gateway.core.job import Job
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call
from gateway.pipeline.sharing import Sharing
from gateway.ports import Clock, Retention, Retries, StoreDown
from gateway.ports.retries import IDEMPOTENT

#: Seconds after which an SDK has tried again what it was told nothing of, and the margin for what it was told.
_BACKOFF, _MARGIN = 8.0, 2.0


class Retrying:
    """`adopt_within`: seconds for which an SDK's automatic retry is recognised."""

    def __init__(
        self, retries: Retries, retention: Retention, sharing: Sharing, clock: Clock, adopt_within: int
    ) -> None:
        self._retries = retries
        self._retention = retention
        self._sharing = sharing
        self._clock = clock
        self._adopt_within = adopt_within

    async def earlier(self, caller: Caller, call: Call) -> Job | None:
        """The job of an earlier attempt, which this one is given; None: there is none, it bought nothing, or what it bought is
        gone. Raises IdempotencyKeyReused.
        """
        job = await self._found(caller, call)
        if job is not None and job.ended and job.pictures:
            if not await self._sharing.keeps(job):
                return None
            await self._retention.used(job.id, self._clock.now())  # URLs are signed anew
        return job

    async def _found(self, caller: Caller, call: Call) -> Job | None:
        if call.idempotency is not None:
            return await self.under_key(caller, call)
        if not call.retry_count:
            return None
        now = self._clock.now()
        since = now - self._adopt_within * 1000
        job = await self._retries.adopt(caller.key_id, call.body_hash, call.retry_count, since, now)
        return job if job is not None and job.stands else None

    async def under_key(self, caller: Caller, call: Call) -> Job | None:
        """The job that stands under the call's Idempotency-Key, with nothing noted. Raises IdempotencyKeyReused."""
        if call.idempotency is None:
            return None
        since = self._clock.now() - IDEMPOTENT
        job = await self._retries.repeated(caller.key_id, call.idempotency, call.body_hash, since)
        return None if job is None else given(job, call)

    async def refused(self, caller: Caller, call: Call, error: GatewayError) -> None:
        """The attempt had no job, and asks for another: that is owed a run of its own, not an older equal order's picture.

        One that nobody retries ends soon: until then a retry of an equal call that was made would be taken for its, and
        bought a second time. A store that is down keeps none, and admits nothing either.
        """
        if not (error.retry and call.counted) or call.idempotency is not None:
            return
        now = self._clock.now()
        until = now + round(_MARGIN * max(error.retry_after or 0.0, _BACKOFF) * 1000)
        with suppress(StoreDown):
            await self._retries.refused(caller.key_id, call.body_hash, call.retry_count, now, until)


def given(job: Job, call: Call) -> Job:
    """The job under the same Idempotency-Key. Raises IdempotencyKeyReused where it is of another body."""
    if job.body_hash != call.body_hash:
        raise IdempotencyKeyReused("This Idempotency-Key was used with another body.", param="idempotency-key")
    return job
