"""What metrics may say: the words that are ours, and those that the configuration brings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from gateway.core import errors
from gateway.core.job import PassedFor
from gateway.core.rate import KINDS

MOST_TEAMS = 500
MOST_KEYS = 200
#: those that were in force since the start: policies may be reloaded without end
MOST_MODELS = 200

OUTCOMES = (
    "completed",
    errors.UpstreamFailed.code,
    errors.UpstreamUnconfirmed.code,
    errors.ModerationBlocked.code,
)
REQUEST_OUTCOMES = ("ok", "refused", "failed", "left")
#: how orders come to their jobs; and the source of images that were found made
RESULTS = ("miss", "bypass", "hit", "joined", "replayed")
CACHE = "cache"
#: what may become of a leg when an order's way is chosen
DECISIONS = ("taken", *get_args(PassedFor))
CIRCUITS = ("submit", "read")
CIRCUIT_STATES = ("closed", "half_open", "open")
UPSTREAM_OPS = ("submit", "upload", "poll", "download", "models")
#: What upstreams and the proxies before them answer; any other status is `other`, and so are mistakes of theirs.
UPSTREAM_CODES = (
    *("200", "201", "202", "400", "401", "402", "403", "404", "408", "409", "413", "422", "429"),
    *("500", "502", "503", "504", "520", "524", "timeout", "unreachable", "cut"),
)
#: Operations that a request for images, or a piece of a worker's, waits for; any other is `other`.
STORE_OPS = (
    *("find_key", "share", "reserve", "submitting", "submitted", "settle", "release", "job", "budgets", "hits"),
    *("queue_enqueue", "queue_claim", "queue_became"),
)
#: How a submit may end that an alert counts: `increase()` misses a first one that did not begin at 0.
SUBMIT_ENDS = ("401", "402", "403", "429", "500", "502", "503", "504", "timeout", "cut", "unreachable")
#: Failures that dashboards and alerts divide by requests: `increase()` misses a first one that did not begin at 0. Those of a
#: model, in the making; whatever else is answered would be so of any, and thirty codes for each model would say no more.
OF_A_MODEL = (errors.UpstreamFailed, errors.UpstreamUnconfirmed, errors.NoCapacity, errors.WaitedTooLong)
OF_NO_MODEL = (
    errors.BudgetSpent,
    errors.BudgetReserved,
    errors.RateLimited,
    errors.UpstreamUnavailable,
    errors.InternalError,
)
MODELS_CODES = frozenset({None, *(error.code for error in OF_A_MODEL)})
REJECTIONS = (errors.BudgetSpent.code, errors.BudgetReserved.code, *KINDS)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The label values known at the start: they begin at 0, and for route and provider there are no others. Nor for model,
    but for those that new policies have."""

    version: str
    routes: tuple[str, ...]
    #: those of `routes` that make images
    image_routes: tuple[str, ...]
    models: tuple[str, ...]
    providers: tuple[str, ...]
    #: who may make the images of a model, where that are not all providers
    legs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: those of `providers` that take money for each image: one of theirs that costs nothing has no price, or a wrong one
    sellers: tuple[str, ...] = ()

    def makers(self, model: str) -> tuple[str, ...]:
        return self.legs.get(model, self.providers)
