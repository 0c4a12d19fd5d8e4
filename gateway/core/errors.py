"""Every way a request can end badly: one tree, and each leaf knows its HTTP face and whether a retry may help.

GatewayError
├── InvalidRequest            400  (invalid_value, invalid_type, missing_…, unknown_…, unsupported_parameter)
├── ModerationBlocked         400
├── InvalidApiKey             401
├── NotAllowed                403
├── NotFound                  404  (model_not_found, job_not_found, unknown_url, not_cached)
├── MethodNotAllowed          405
├── RequestTimeout            408
├── RequestTooLarge           413
├── UnsupportedMediaType      415
├── HeadersTooLarge           431
├── JobNotCancellable         409
├── NotYours                  409  a worker's claim has lost its piece
├── IdempotencyKeyReused      422  with another body
├── Cancelled                 409  the job was cancelled while its client waited
├── ClientLeft                499  never sent: there is nobody to read it
├── BudgetSpent               429  insufficient_quota
├── BudgetReserved            429  budget_reserved
├── RateLimited               429  rate_limit_exceeded
├── UpstreamFailed            502  upstream_error: nothing was bought
├── UpstreamUnconfirmed       502  the submit may or may not have been accepted
├── UpstreamUnavailable       503  the upstream refuses our key or credit
├── NoCapacity                503
│   └── Interrupted           503  the gateway is stopping
├── WaitedTooLong             504
└── InternalError             500

The names, statuses and codes are those of the public contract; the metric label of an error is its `code`, a closed set.
"""

from typing import ClassVar

from gateway.core.rate import Exceeded


class GatewayError(Exception):
    """Base of all. `message` reaches clients, so it never holds a secret, a prompt or the upstream's raw text."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"
    level: ClassVar[str] = "info"
    #: False says `x-should-retry: false`: every OpenAI SDK repeats 408, 409, 429 and 5xx twice unless told.
    retry: bool = False
    #: Where an attempt ends so, may the next leg of its route try?
    next_leg: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        #: seconds
        self.retry_after = retry_after
        self.job_id = job_id
        if code is not None:
            self.code = code


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class ModerationBlocked(GatewayError):
    status = 400
    type = "image_generation_user_error"
    code = "moderation_blocked"


class InvalidApiKey(GatewayError):
    """Missing, wrong, expired and revoked look alike from outside; `reason` and `key_id` are for the log alone."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, message: str, *, reason: str | None = None, key_id: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.key_id = key_id


class NotAllowed(GatewayError):
    status = 403
    type = "invalid_request_error"
    code = "model_not_allowed"


class NotFound(GatewayError):
    status = 404
    type = "invalid_request_error"
    code = "unknown_url"


class MethodNotAllowed(GatewayError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(GatewayError):
    """The head or the body did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class HeadersTooLarge(GatewayError):
    """Request target or headers are over a cap; the first byte above it ends the reading."""

    status = 431
    type = "invalid_request_error"
    code = "headers_too_large"


class RequestTooLarge(GatewayError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedMediaType(GatewayError):
    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class JobNotCancellable(GatewayError):
    status = 409
    type = "invalid_request_error"
    code = "job_not_cancellable"


class NotYours(GatewayError):
    """What a worker says of a piece is not wanted from it: another has claimed it, or it has ended."""

    status = 409
    type = "invalid_request_error"
    code = "not_yours"


class IdempotencyKeyReused(GatewayError):
    status = 422
    type = "invalid_request_error"
    code = "idempotency_key_reused"


class Cancelled(GatewayError):
    status = 409
    type = "invalid_request_error"
    code = "cancelled"


class ClientLeft(GatewayError):
    status = 499
    type = "invalid_request_error"
    code = "client_left"


class BudgetSpent(GatewayError):
    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"


class BudgetReserved(GatewayError):
    """There would be room if the running jobs ended without cost: worth asking again."""

    status = 429
    type = "rate_limit_error"
    code = "budget_reserved"
    retry = True


class RateLimited(GatewayError):
    """A limit of the key or its team is reached; `retry_after` is exact, and a guess for images in flight.

    An order that is more than the limit ever lets through is not worth a retry.
    """

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry = True

    def __init__(self, message: str, exceeded: Exceeded) -> None:
        super().__init__(message, retry_after=None if exceeded.wait is None else exceeded.wait / 1000)
        self.exceeded = exceeded
        self.retry = exceeded.wait is not None


class UpstreamFailed(GatewayError):
    """The provider failed and nothing was bought."""

    status = 502
    next_leg = True
    code = "upstream_error"
    level = "warning"
    retry = True


class UpstreamUnconfirmed(GatewayError):
    """The submit may have been accepted: it is never repeated, here or by the client, and no other paid leg is tried."""

    status = 502
    code = "upstream_unconfirmed"
    level = "error"


class UpstreamUnavailable(GatewayError):
    """The upstream refuses our key or our credit: only the operator can mend it."""

    status = 503
    type = "service_unavailable_error"
    next_leg = True
    code = "upstream_unavailable"
    level = "error"


class NoCapacity(GatewayError):
    status = 503
    type = "service_unavailable_error"
    next_leg = True
    code = "no_capacity"
    level = "warning"
    retry = True


class Interrupted(NoCapacity):
    """The gateway is stopping; what is journalled goes on with the next start."""


class WaitedTooLong(GatewayError):
    status = 504
    code = "timeout"
    retry = True


class InternalError(GatewayError):
    level = "error"
    retry = True


_OF_FAILED_JOBS: tuple[type[GatewayError], ...] = (
    ModerationBlocked,
    InvalidRequest,
    UpstreamFailed,
    UpstreamUnconfirmed,
    UpstreamUnavailable,
    NoCapacity,
    Cancelled,
)


def of_failure(code: str, message: str, job_id: str) -> GatewayError:
    """The error that answers for a failed job."""
    kind = next((kind for kind in _OF_FAILED_JOBS if kind.code == code), UpstreamFailed)
    if kind is UpstreamUnconfirmed:
        message = f"{message} Its job is {job_id}."  # whoever reports it has only the text of an SDK's exception
    return kind(message, job_id=job_id)


def moves_on(code: str) -> bool:
    """May another leg make what failed so? Not what was refused for what it asks for, given up, or may have been bought."""
    return any(kind.next_leg for kind in _OF_FAILED_JOBS if kind.code == code)
