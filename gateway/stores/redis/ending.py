"""How a hold ends, as the scripts are told of it."""

from collections.abc import Sequence

from gateway.core.job import Claim, Failure, Picture, State
from gateway.core.money import period
from gateway.stores.redis.link import Question
from gateway.stores.redis.rows import to_json


def settle(pictures: Sequence[Picture], cost: int, now: int, token: str, claim: Claim | None) -> Question:
    """Settled at `cost` micro-dollars."""
    return {
        "kind": to_json("settle"),
        "day": period("day", now),
        "state": to_json(State.DONE),
        "pictures": to_json(tuple(pictures)),
        "images": to_json(len(pictures)),
        "cost": to_json(cost),
        "failure": to_json(None),
        "now": to_json(now),
        "token": token,
        **_by(claim),
    }


def release(failure: Failure, now: int, token: str, claim: Claim | None = None) -> Question:
    return {
        "kind": to_json("release"),
        "state": to_json(State.FAILED),
        "pictures": to_json(()),
        "images": to_json(0),
        "cost": to_json(0),
        "failure": to_json(failure),
        "now": to_json(now),
        "token": token,
        **_by(claim),
    }


def _by(claim: Claim | None) -> Question:
    return {"worker": to_json(claim and claim.worker), "claimed_at": to_json(claim and claim.at)}
