"""A job as it is before anything of it is journalled: the same for a request that buys and for one that only asks."""

import secrets
from dataclasses import replace

from gateway.core import keys as key_form
from gateway.core.catalogue import Catalogue
from gateway.core.job import Attempt, Job
from gateway.core.lots import Lots
from gateway.core.order import Order, parts
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call
from gateway.pipeline.routing import Buyer, Course
from gateway.pipeline.sharing import Sharing
from gateway.ports import Clock

_LETTERS = 22
_LOTS = Lots(secrets.token_bytes)


class Drafting:
    def __init__(self, catalogue: Catalogue, sharing: Sharing, clock: Clock, replica: str) -> None:
        """`replica`: which is to make the jobs."""
        self._policies = catalogue.policies
        self._sharing = sharing
        self._clock = clock
        self._replica = replica

    def job(self, caller: Caller, order: Order, call: Call, course: Course) -> Job:
        """Split into attempts of as many images as the model makes at once, all of them reserved now."""
        now = self._clock.now()
        if order.unit_price != course.price:
            order = replace(order, unit_price=course.price)
        job_id = "job_" + key_form.base62(_LOTS.below(62**_LETTERS), _LETTERS)
        attempts = tuple(
            Attempt(
                id=f"{job_id}.{part.number}",
                job_id=job_id,
                part=part.number,
                provider=course.provider,
                images=part.images,
                seed=part.seed,
                held=part.images * course.most,
                reserved_at=now,
                passed=course.passed,
            )
            for part in parts(order, self._policies.models[order.model].images_per_call)
        )
        return Job(
            id=job_id,
            key_id=caller.key_id,
            team=caller.team,
            user=call.user,
            order=order,
            created_at=now,
            detached=call.respond_async,
            body_hash=call.body_hash,
            retry_count=call.retry_count,
            attempts=attempts,
            maker=self._replica,
            source="bypass" if call.cache == "bypass" else "miss",
            entry=self._sharing.entry(caller, order, course.engine),
            idempotency=call.idempotency,
        )

    def buyer(self, caller: Caller, order: Order, call: Call) -> Buyer:
        calls = len(parts(order, self._policies.models[order.model].images_per_call))
        return Buyer(caller.key_id, caller.team, calls, self.patience(call))

    def patience(self, call: Call) -> float:
        """Seconds that the order of this call may stand in the queue: nobody waits for one that is answered 202."""
        return self._policies.gateway.queue.detached_wait if call.respond_async else call.patience


def cheaper(job: Job, course: Course) -> Job | None:
    """The job as it holds no more than its own leg costs, and so moves on to none that costs more; None: it holds just that.

    More is held for every leg that it may move on to; a budget that does not cover that need not refuse what costs less.
    """
    if course.most == course.price:
        return None
    attempts = (replace(attempt, held=attempt.images * course.price) for attempt in job.attempts)
    return replace(job, attempts=tuple(attempts))
