"""A call: what a request says about itself beside its order, read by the edge from headers and body."""

from dataclasses import dataclass, field
from typing import Literal

from gateway.core.phases import PhaseMarks

#: bypass: ask for nothing that was made, only: make nothing
CacheWish = Literal["bypass", "only"]


@dataclass(frozen=True, slots=True)
class Call:
    """`patience`: seconds its client is willing to wait. `prefer_wait`: `Prefer: wait=N`, then 202 instead of 504.

    `body_hash`: of all that two attempts of one call have in common. `counted`: its SDK counts its retries.
    """

    patience: float
    body_hash: str
    retry_count: int = 0
    counted: bool = True
    user: str | None = None
    respond_async: bool = False
    prefer_wait: float | None = None
    #: digest of endpoint and `Idempotency-Key`
    idempotency: str | None = None
    cache: CacheWish | None = None
    #: where its time goes, from its first byte on
    marks: PhaseMarks = field(default_factory=PhaseMarks, compare=False)
