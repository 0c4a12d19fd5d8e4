"""What answers of every operation share in the API's description: headers, and the errors, taken from their classes."""

from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.job import Source

Schema: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """A code that clients may meet; the class knows its status and type."""

    kind: type[GatewayError]
    code: str
    when: str


_NOT_FOUND = errors.NotFound
_INVALID = errors.InvalidRequest
PROBLEMS = (
    Problem(_INVALID, "invalid_value", "A value is out of range or malformed; `param` names the field."),
    Problem(_INVALID, "invalid_type", "A value is of another type; `param` names the field."),
    Problem(_INVALID, "missing_required_parameter", "A field is missing; `param` names it."),
    Problem(_INVALID, "unknown_parameter", "There is no such field; `param` names it."),
    Problem(_INVALID, "unsupported_parameter", "The field is known, and cannot be honoured here."),
    Problem(_INVALID, "invalid_image_file", "Not a PNG, JPEG or WebP, cut off, or too large."),
    Problem(errors.ModerationBlocked, "moderation_blocked", "The provider's content rules refuse it."),
    Problem(errors.InvalidApiKey, "invalid_api_key", "The key is missing, wrong, expired, disabled or revoked."),
    Problem(errors.NotAllowed, "model_not_allowed", "The key may not use this model or endpoint."),
    Problem(_NOT_FOUND, "model_not_found", "There is no such model."),
    Problem(_NOT_FOUND, "job_not_found", "There is no such job in your team."),
    Problem(_NOT_FOUND, "not_cached", "`x-imagegate-cache: only`, and nothing is cached."),
    Problem(_NOT_FOUND, "unknown_url", "There is no such path or file, or its URL has expired."),
    Problem(errors.MethodNotAllowed, "method_not_allowed", "The path has no such method; `allow` lists those it has."),
    Problem(errors.RequestTimeout, "request_timeout", "The request did not arrive in time."),
    Problem(errors.JobNotCancellable, "job_not_cancellable", "The job has ended, or its price is already owed."),
    Problem(
        errors.IdempotencyKeyReused, "idempotency_key_reused", "The `Idempotency-Key` came with another body before."
    ),
    Problem(errors.Cancelled, "cancelled", "The job was cancelled while its client waited."),
    Problem(errors.RequestTooLarge, "request_too_large", "The body is too large."),
    Problem(errors.UnsupportedMediaType, "unsupported_media_type", "The body is of another media type."),
    Problem(errors.BudgetSpent, "insufficient_quota", "A budget is spent; the message says which, and its reset."),
    Problem(errors.BudgetReserved, "budget_reserved", "Running jobs hold what is left of a budget."),
    Problem(errors.RateLimited, "rate_limit_exceeded", "A limit of the key or its team; the message says which."),
    Problem(errors.HeadersTooLarge, "headers_too_large", "The request's address or headers are too large."),
    Problem(errors.InternalError, "internal_error", "Our fault; the message names the request's id."),
    Problem(errors.UpstreamFailed, "upstream_error", "The provider failed, and nothing was bought."),
    Problem(errors.UpstreamUnconfirmed, "upstream_unconfirmed", "Nobody knows if it was bought; the job is named."),
    Problem(errors.UpstreamUnavailable, "upstream_unavailable", "The provider refuses the gateway's key or credit."),
    Problem(errors.NoCapacity, "no_capacity", "Nothing can serve it now; ask again after `retry-after`."),
    Problem(errors.WaitedTooLong, "timeout", "It took too long, and the job goes on: a retry joins it."),
)
#: What may happen to any request, before its handler is reached.
_ANYWHERE = (
    "invalid_value",
    "request_timeout",
    "request_too_large",
    "headers_too_large",
    "internal_error",
    "no_capacity",
)
FIELDS = ("invalid_type", "missing_required_parameter", "unknown_parameter", "unsupported_parameter")

#: How a call may have come to its images.
CACHE_WORDS: list[str] = [*get_args(Source), "replayed"]

_LIMITED = {
    "limit": "{} a minute, of the tightest limit of the key and its team; absent if there is none.",
    "remaining": "How many {} there is room for now.",
    "reset": "After how long without {} the limit is whole again: `120ms`, `1.5s`, `1m0s`.",
}
LIMIT_HEADERS = tuple(f"x-ratelimit-{figure}-{what}" for what in ("requests", "images") for figure in _LIMITED)
HEADERS: dict[str, Schema] = {
    "x-request-id": {"description": "Names this request in the gateway's log; every answer has it.", "required": True},
    "openai-processing-ms": {"description": "Milliseconds that the answer took.", "schema": {"type": "integer"}},
    "x-imagegate-job": {"description": "The job that the answer is of."},
    "x-imagegate-provider": {"description": "Who made the images, or is asked first."},
    "x-imagegate-cache": {
        "description": "`miss`: made for this call. `bypass`: the same, as it asked. `hit`: an equal order's images, made "
        "before. `joined`: an equal order, or an earlier attempt of the same call, was being made and was waited for. "
        "`replayed`: an earlier attempt had already ended.",
        "schema": {"type": "string", "enum": CACHE_WORDS},
    },
    "x-imagegate-seed": {"description": "Seed of the first image.", "schema": {"type": "integer"}},
    "x-imagegate-cost": {"description": "Dollars that this call cost, a plain decimal."},
    "x-imagegate-budget-remaining": {"description": "Dollars left of the tightest budget; absent if there is none."},
    "x-imagegate-ignored": {
        "description": "Fields that were taken without effect, comma-separated; a strict gateway refuses them."
    },
    "x-imagegate-queue-position": {"description": "Pieces before it when it joined the workers' queue."},
    "x-imagegate-budget-warning": {"description": "Budgets nearly used up, the most urgent first: `team 80%`."},
    **{
        f"x-ratelimit-{figure}-{what}": {"description": description.format(what)}
        for what in ("requests", "images")
        for figure, description in _LIMITED.items()
    },
    "location": {"description": "Where to ask for the job."},
    "etag": {"description": "Names the bytes; sent back as `if-none-match`, it spares their way."},
    "cache-control": {"description": "How long a picture may be kept: no longer than its URL lives."},
    "retry-after": {"description": "Seconds after which to ask again.", "schema": {"type": "integer"}},
    "retry-after-ms": {
        "description": "The same in milliseconds; OpenAI's SDKs read it first.",
        "schema": {"type": "integer"},
    },
    "x-should-retry": {
        "description": "`false`: asking again would be useless or wrong; OpenAI's SDKs obey it.",
        "schema": {"type": "string", "const": "false"},
    },
}
_OF_ERRORS = ("x-imagegate-job", "retry-after", "retry-after-ms", "x-should-retry")
_TOO_MANY = 429


def response(description: str, content: Schema, *headers: str) -> Schema:
    """A response object with `x-request-id` and the named headers; `content` by media type."""
    named = {name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *headers)}
    return {"description": description, "headers": named, "content": content}


def json_of(schema: str, example: object = None) -> Schema:
    """A JSON body of the component `schema`."""
    media: Schema = {"schema": reference(schema)}
    return {"application/json": media if example is None else {**media, "example": example}}


def reference(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def failures(*codes: str) -> Schema:
    """Responses, by status, for what ends with one of `codes` or with what may happen anywhere."""
    asked = {*codes, *_ANYWHERE}
    found: dict[int, list[str]] = {}
    for problem in PROBLEMS:
        if problem.code in asked:
            found.setdefault(problem.kind.status, []).append(f"`{problem.code}`: {problem.when}")
    return {
        str(status): response(
            "\n".join(found[status]),
            json_of("Error"),
            *_OF_ERRORS,
            *(LIMIT_HEADERS if status == _TOO_MANY else ()),
        )
        for status in sorted(found)
    }


def headers() -> Schema:
    """The components that `response` refers to; text unless said otherwise."""
    return {name: {"schema": {"type": "string"}, **header} for name, header in HEADERS.items()}


def error_schema() -> Schema:
    """The envelope: always all four keys."""
    text = {"type": "string"}
    types = sorted({problem.kind.type for problem in PROBLEMS})
    error = {
        "type": "object",
        "required": ["message", "type", "param", "code"],
        "properties": {
            "message": text | {"description": "For people; may change."},
            "type": text | {"enum": types},
            "param": {"type": ["string", "null"], "description": "The field at fault."},
            "code": text | {"enum": [problem.code for problem in PROBLEMS], "description": "For programs."},
        },
    }
    return {
        "description": "What went wrong.",
        "type": "object",
        "required": ["error"],
        "properties": {"error": error},
    }


def error_table() -> list[Schema]:
    """Every code with its status and type, for readers: `x-imagegate-errors` of the document."""
    return [
        {
            "status": problem.kind.status,
            "type": problem.kind.type,
            "code": problem.code,
            "retry": problem.kind.retry,
            "when": problem.when,
        }
        for problem in PROBLEMS
    ]
