"""/openapi.json: the team-facing API, described from the very types and errors that make it."""

from typing import Any, get_args

from gateway.edge import openapi_images
from gateway.edge.openapi_answers import Schema, error_table, failures, headers, json_of, response
from gateway.edge.openapi_quote import quote_schemas
from gateway.edge.openapi_schemas import JOB_EXAMPLE, schemas
from gateway.pipeline.call import CacheWish

_DESCRIPTION = (
    "OpenAI Images, made elsewhere, under budgets: point any OpenAI SDK at this address. "
    "Errors are always OpenAI's envelope, and every answer has an `x-request-id`."
)
_TAGS = {
    "Images": (
        "A plain call waits for its images: as long as the gateway allows, and until 2 s before its client's own deadline if "
        "an OpenAI SDK tells it (`x-stainless-read-timeout`, `x-stainless-timeout`). When the client leaves, a job goes on "
        "from its submit on. An SDK's own retry (`x-stainless-retry-count`) joins the first attempt and buys nothing. "
        "A null field is an absent one."
    ),
    "Models": "What the key may ask for; the real ids first, then their other names.",
    "Jobs": "Every accepted call is a job of the key's team, kept for a week unless its policy says otherwise.",
    "Files": "Pictures that were answered as a `url`.",
    "Operation": "For whoever runs the gateway.",
}
_PARAMETERS: dict[str, Schema] = {
    "Prefer": {
        "name": "prefer",
        "in": "header",
        "description": "`respond-async`: answer 202 with a job at once. `wait=N`: wait N seconds at most, then 202. "
        "A stream takes no notice.",
        "schema": {"type": "string"},
    },
    "Cache": {
        "name": "x-imagegate-cache",
        "in": "header",
        "description": "An order with a seed is made once: an equal one is given the same images at no cost. `bypass`: make "
        "them anew. `only`: 404 `not_cached` unless they have been made.",
        "schema": {"type": "string", "enum": list(get_args(CacheWish))},
    },
    "DryRun": {
        "name": "x-imagegate-dry-run",
        "in": "header",
        "description": "`true`: answer 200 with a quote of what this call would cost, and of what would refuse it. Nothing "
        "is made, held or remembered; it counts as a request.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "IdempotencyKey": {
        "name": "idempotency-key",
        "in": "header",
        "description": "For a day, calls with this key and body are answered by the first one's job, and cost nothing. "
        "With another body: 422 `idempotency_key_reused`. What had bought nothing is made anew.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    },
    "Job": {
        "name": "job_id",
        "in": "path",
        "required": True,
        "description": "As `job_id` of the answer said.",
        "schema": {"type": "string"},
        "example": JOB_EXAMPLE["job_id"],
    },
}


def document(version: str, most_references: int) -> dict[str, Any]:
    """OpenAPI 3.1, for a gateway one of whose models builds on so many images. Readers' table of all error codes:
    `x-imagegate-errors`."""
    key = {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of your team goes with each call, as `Authorization: Bearer sk-ig-…` or `x-api-key: sk-ig-…`.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "imagegate", "version": version, "description": _DESCRIPTION},
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "security": [{"key": []}],
        "paths": openapi_images.paths(most_references) | _models() | _jobs() | _files() | _operation(),
        "components": {
            "securitySchemes": {"key": key},
            "parameters": _PARAMETERS,
            "headers": headers(),
            "schemas": openapi_images.request_schemas(most_references) | schemas() | quote_schemas(),
        },
        "x-imagegate-errors": error_table(),
    }


def _models() -> Schema:
    model = {
        "name": "model_id",
        "in": "path",
        "required": True,
        "description": "An id or any other name; a slash in it may come as `%2F`.",
        "schema": {"type": "string"},
        "example": "gpt-image-1",
    }
    return {
        "/v1/models": {
            "get": {
                "operationId": "listModels",
                "tags": ["Models"],
                "summary": "The models, with limits and price.",
                "responses": {
                    "200": response("All of them: there are no pages.", json_of("ModelList")),
                    **failures("invalid_api_key"),
                },
            }
        },
        "/v1/models/{model_id}": {
            "get": {
                "operationId": "retrieveModel",
                "tags": ["Models"],
                "summary": "One model.",
                "parameters": [model],
                "responses": {
                    "200": response("The model.", json_of("ModelCard")),
                    **failures("invalid_api_key", "model_not_found", "unknown_url"),
                },
            }
        },
    }


def _jobs() -> Schema:
    limit = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    page = [
        {"name": "limit", "in": "query", "description": "Jobs on a page.", "schema": limit},
        {"name": "after", "in": "query", "description": "Last id of the page before.", "schema": {"type": "string"}},
    ]
    job = {"tags": ["Jobs"], "parameters": [{"$ref": "#/components/parameters/Job"}]}
    answer = response("The job.", json_of("Job", JOB_EXAMPLE), "x-imagegate-job")
    return {
        "/v1/jobs": {
            "get": {
                "operationId": "listJobs",
                "tags": ["Jobs"],
                "summary": "The team's jobs, newest first.",
                "parameters": page,
                "responses": {"200": response("A page.", json_of("JobList")), **failures("invalid_api_key")},
            }
        },
        "/v1/jobs/{job_id}": {
            "get": {
                "operationId": "getJob",
                "summary": "A job, with its result once it is completed.",
                **job,
                "responses": {"200": answer, **failures("invalid_api_key", "job_not_found", "unknown_url")},
            },
            "delete": {
                "operationId": "cancelJob",
                "summary": "Cancel a job that was not submitted yet; its money is free again.",
                **job,
                "responses": {
                    "200": answer,
                    **failures("invalid_api_key", "job_not_found", "unknown_url", "job_not_cancellable"),
                },
            },
        },
    }


def _files() -> Schema:
    signature = {"k": "Whose URL it is.", "e": "Until when, in seconds since the epoch.", "s": "The signature."}
    text = {"schema": {"type": "string"}}
    name = {"name": "name", "in": "path", "required": True, "description": "As the URL has it.", **text}
    query = [{"name": short, "in": "query", "description": meaning, **text} for short, meaning in signature.items()]
    tags = {
        "name": "if-none-match",
        "in": "header",
        "description": "Tags of what is had already, or `*`. A URL that has expired is 404 all the same.",
        **text,
    }
    pictures: Schema = {f"image/{codec}": {} for codec in ("png", "webp", "jpeg")}
    caching = ("etag", "cache-control")
    answers = {
        "200": response("The bytes.", pictures, *caching),
        "304": response("They are what `if-none-match` names.", {}, *caching),
        **failures("unknown_url"),
    }
    asked = {"tags": ["Files"], "security": [], "parameters": [name, *query, tags]}
    return {
        "/files/{name}": {
            "get": {
                "operationId": "getPicture",
                "summary": "A picture, by its signed URL; it needs no key.",
                **asked,
                "responses": answers,
            },
            "head": {
                "operationId": "headPicture",
                "summary": "The headers that its bytes would have.",
                **asked,
                "responses": {status: {**answer, "content": {}} for status, answer in answers.items()},
            },
        }
    }


def _operation() -> Schema:
    text = {"schema": {"type": "string"}}
    exposition = {"text/plain": text, "application/openmetrics-text": text}
    return {
        "/healthz": _open("getHealth", "The process answers.", json_of("Alive")),
        "/readyz": _open("getReadiness", "Store and policies are there; 503 while they are not.", json_of("Ready")),
        "/metrics": _open(
            "getMetrics", "Prometheus metrics; from loopback, or with the metrics token.", exposition, "invalid_api_key"
        ),
        "/openapi.json": _open(
            "getDescription", "This API, described.", {"application/json": {"schema": {"type": "object"}}}
        ),
        "/docs": _open("getDocumentation", "The same as a page for people.", {"text/html": text}),
    }


def _open(name: str, summary: str, content: Schema, *codes: str) -> Schema:
    """A path that asks for no team's key."""
    answers = {"200": response("It is so.", content), **failures(*codes)}
    return {
        "get": {"operationId": name, "tags": ["Operation"], "summary": summary, "security": [], "responses": answers}
    }
