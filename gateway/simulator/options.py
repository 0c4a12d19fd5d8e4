"""What a simulator can be told: its limits, how long jobs take, what goes wrong and how often."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from gateway.simulator.shapes import ROTATE, SHAPES
from gateway.simulator.wire import PRICE

#: A job's state is kept this long after completion, a signed URL is valid this long (upstream's documentation). Seconds.
RETENTION_S = 3600.0
URL_TTL_S = 7 * 86400.0


class Fault(StrEnum):
    """What can go wrong with one request. After `submit_500` and `submit_503` there is no job; after other submits there is."""

    SUBMIT_500 = "submit_500"
    SUBMIT_503 = "submit_503"
    SUBMIT_502 = "submit_502"
    SUBMIT_LOST = "submit_lost"
    SUBMIT_RESET = "submit_reset"
    SUBMIT_CUT = "submit_cut"
    SUBMIT_GARBAGE = "submit_garbage"
    SUBMIT_DRIP = "submit_drip"
    POLL_500 = "poll_500"
    POLL_CUT = "poll_cut"
    POLL_GARBAGE = "poll_garbage"
    POLL_404_EARLY = "poll_404_early"
    UPLOAD_500 = "upload_500"
    UPLOAD_CUT = "upload_cut"
    CDN_500 = "cdn_500"
    CDN_CUT = "cdn_cut"


DOES: Mapping[Fault, str] = {
    Fault.SUBMIT_500: "a submit is answered 500 with an error object, and no job is made",
    Fault.SUBMIT_503: "a submit is answered 503 model_unavailable, and no job is made",
    Fault.SUBMIT_502: "a job is made; a proxy in between answers 502 with HTML",
    Fault.SUBMIT_LOST: "a job is made; the connection is closed (FIN) before any byte of an answer",
    Fault.SUBMIT_RESET: "a job is made; the connection is reset (RST) before any byte of an answer",
    Fault.SUBMIT_CUT: "a job is made; the answer's body ends in the middle",
    Fault.SUBMIT_GARBAGE: "a job is made; the answer is 200 and no JSON",
    Fault.SUBMIT_DRIP: "a job is made; the answer takes four seconds, a few bytes at a time",
    Fault.POLL_500: "a poll is answered 500",
    Fault.POLL_CUT: "a poll's answer ends in the middle",
    Fault.POLL_GARBAGE: "a poll's answer is 200 and no JSON",
    Fault.POLL_404_EARLY: "a job is not found in its first second",
    Fault.UPLOAD_500: "an upload is answered 500",
    Fault.UPLOAD_CUT: "the answer to an upload ends in the middle",
    Fault.CDN_500: "an output URL is answered 500",
    Fault.CDN_CUT: "an output's bytes end in the middle",
}


@dataclass(frozen=True, slots=True)
class Options:
    """Rates are shares from 0 to 1. Every random draw follows from `random_seed`, one stream for each thing drawn.

    rpm          requests a minute for the whole account, 0 for no limit
    keys         the keys that are accepted; empty: any with upstream's prefix
    price        dollars for each returned image, as the catalogue names it and the credit is charged
    credits      dollars to spend before 402, None for no end
    median_s     a job's duration, log-normal with `sigma`
    failure_rate share of jobs that end `failed`, and cost nothing
    fewer_rate   share of jobs for several images that return (and bill) fewer than asked
    shape        a name of `shapes.SHAPES`, or `rotate` for each in turn
    faults       how often each fault strikes a request that it could strike
    speed        the simulator's clock runs this much faster: durations, the limit's minute, retention, URL lifetimes
    picture_pool 0: each prompt, seed and set of reference images has its own picture; N: N pictures a size and codec stand
                 for all
    ledger       a file of JSON lines to append to: one for each accepted submit, one for each end of a job
    """

    rpm: int = 50
    keys: frozenset[str] = frozenset()
    price: Decimal = PRICE
    credits: Decimal | None = None
    median_s: float = 1.5
    sigma: float = 0.4
    failure_rate: float = 0.0
    fewer_rate: float = 0.0
    shape: str = "result_data"
    faults: Mapping[Fault, float] = field(default_factory=dict)
    retention_s: float = RETENTION_S
    url_ttl_s: float = URL_TTL_S
    speed: float = 1.0
    picture_pool: int = 0
    ledger: Path | None = None
    random_seed: int = 0

    def __post_init__(self) -> None:
        if self.shape != ROTATE and self.shape not in SHAPES:
            raise ValueError(f"no result shape {self.shape!r}: choose {ROTATE} or one of {', '.join(SHAPES)}")
        if not self.price >= 0:
            raise ValueError("a price is not below 0")
        if self.speed <= 0:
            raise ValueError("speed must be above 0")
        rates: dict[str, float] = {"failure_rate": self.failure_rate, "fewer_rate": self.fewer_rate}
        for name, rate in (rates | {fault.value: rate for fault, rate in self.faults.items()}).items():
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {rate}")
