"""A job as it is before anything of it is journalled."""

import secrets

from gateway.core import keys as key_form
from gateway.core.job import Attempt, Entry, Job
from gateway.core.order import Order, parts
from gateway.pipeline.admission import Caller
from gateway.pipeline.call import Call


def draft(  # noqa: PLR0913 - what a job is made of
    caller: Caller, order: Order, call: Call, *, provider: str, per_call: int, entry: Entry, now: int, replica: str
) -> Job:
    """Split into attempts of at most `per_call` images, all of them reserved at `now` (ms), to be made by `replica`."""
    job_id = "job_" + key_form.draw(22, secrets.choice)
    attempts = tuple(
        Attempt(
            id=f"{job_id}.{part.number}",
            job_id=job_id,
            part=part.number,
            provider=provider,
            images=part.images,
            seed=part.seed,
            held=part.images * order.unit_price,
            reserved_at=now,
        )
        for part in parts(order, per_call)
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
        maker=replica,
        source="bypass" if call.cache == "bypass" else "miss",
        entry=entry,
        idempotency=call.idempotency,
    )
