"""The bodies of answers in the API's description, each a named component with an example."""

from typing import Any, get_args

import msgspec

from gateway.core.job import PassedFor, Status
from gateway.core.model_cards import ModelCard
from gateway.edge.openapi_answers import CACHE_WORDS, Schema, error_schema, reference

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_STATUS = {"type": "string", "enum": [status.value for status in Status]}
_JOB_ID = _TEXT | {"description": "Ask for it at `/v1/jobs/{job_id}`."}
_CODEC = {"type": "string", "enum": ["png", "webp", "jpeg"]}
_SIZE = _TEXT | {"description": "`WIDTHxHEIGHT` of the bytes, in pixels."}
_CREATED = _WHOLE | {"description": "Seconds since the epoch."}
_DOLLARS = "dollars, a plain decimal"
_JOB = "job_L9w9MUiOkXHQmSvgFDv6Gi"
_URL = (
    "http://127.0.0.1:8080/files/9f2d1c5a3e6b7088c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b.webp"
    "?k=4FtXhIvlhRdQ&e=1795442400&s=Zm9ydHktdGhyZWUgYnl0ZXMgb2YgYmFzZTY0"
)


def object_of(properties: Schema, description: str, *optional: str) -> Schema:
    return {
        "description": description,
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "properties": properties,
    }


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_ACCOUNT = object_of(
    {
        "job": _TEXT,
        "provider": _TEXT | {"description": "Who made the images."},
        "cache": {"type": "string", "enum": CACHE_WORDS, "description": "As `x-imagegate-cache`."},
        "seed": _WHOLE | {"description": "Of the first image; the next ones count on from it."},
        "cost": _TEXT | {"description": f"Of this call: {_DOLLARS}."},
        "budget_remaining": nullable(_TEXT)
        | {"description": f"Of the tightest budget: {_DOLLARS}; null if there is none."},
    },
    "How they came about.",
)
_USAGE = object_of(
    {
        "input_tokens": _WHOLE,
        "output_tokens": _WHOLE,
        "total_tokens": _WHOLE,
        "input_tokens_details": object_of({"text_tokens": _WHOLE, "image_tokens": _WHOLE}, "Zeros."),
    },
    "All zeros: images are priced by the image.",
)
#: What a completed job's answer and its stream's event have in common.
_COMPLETED = {
    "output_format": _CODEC,
    "size": _SIZE,
    "usage": reference("Usage"),
    "job_id": _JOB_ID,
    "status": {"type": "string", "const": "completed"},
    "imagegate": reference("Account"),
}
_IMAGE = object_of(
    {
        "url": _TEXT | {"description": "Signed for your key; lives a day unless the gateway is set otherwise."},
        "b64_json": _TEXT | {"description": "The bytes in base64.", "contentEncoding": "base64"},
    },
    "One of the two, as `response_format` says.",
    "url",
    "b64_json",
)
_IMAGES = object_of(
    {
        "created": _CREATED,
        "data": {"type": "array", "minItems": 1, "items": _IMAGE},
        **_COMPLETED,
    },
    "The images, in OpenAI's shape and with EmpirioLabs' `job_id` and `status`.",
)
_ACCEPTED = object_of(
    {
        "job_id": _JOB_ID,
        "id": _TEXT | {"description": "The same."},
        "object": {"type": "string", "const": "image.job"},
        "status": _STATUS,
        "created": _CREATED,
        "model": _TEXT,
        "result": nullable(reference("Images")),
    },
    "A job; `result` where it is completed already.",
)
_LISTED = {
    "job_id": _TEXT,
    "id": _TEXT | {"description": "The same."},
    "object": {"type": "string", "const": "image.job"},
    "model": _TEXT,
    "status": _STATUS | {"description": "`completed` and `failed` are the ends; a cancelled job has failed."},
    "provider": _TEXT | {"description": "Who made it, or is to make it."},
    "passed": {
        "type": "array",
        "items": object_of(
            {"provider": _TEXT, "reason": _TEXT | {"enum": list(get_args(PassedFor))}},
            "A provider that it was not made at, and why.",
        ),
    },
    "progress": {"type": "number", "minimum": 0, "maximum": 1},
    "created_at": _TEXT | {"format": "date-time"},
    "completed_at": {"type": ["string", "null"], "format": "date-time"},
    "error": nullable(object_of({"code": _TEXT, "message": _TEXT}, "As an error would say it."))
    | {"description": "Why it failed."},
}
_QUEUE = nullable(
    object_of(
        {
            "position": {"type": "integer", "description": "Pieces that are begun before it."},
            "seconds": {"type": "number", "description": "Until it is begun, as estimated."},
        },
        "Where it stands.",
    )
) | {"description": "While it waits for one of the team's own workers."}
_READY = object_of(
    {
        "status": {"type": "string", "const": "ready"},
        "version": _TEXT,
        "policies": _TEXT | {"description": "Digest of the policies in force."},
        "providers": {
            "type": "object",
            "description": "The state of each provider's circuit, by name.",
            "additionalProperties": {"type": "object", "additionalProperties": _TEXT},
        },
    },
    "What is ready.",
)


def schemas() -> Schema:
    """Components by name."""
    _, cards = msgspec.json.schema_components([ModelCard], ref_template="#/components/schemas/{name}")
    return {
        "Images": _IMAGES,
        "Account": _ACCOUNT,
        "Usage": _USAGE,
        "ImageGenerationPartialEvent": _partial("image_generation.partial_image"),
        "ImageEditPartialEvent": _partial("image_edit.partial_image"),
        "ImageGenerationEvent": _event("image_generation.completed"),
        "ImageEditEvent": _event("image_edit.completed"),
        "ErrorEvent": _frame("error", _error_event(), "What went wrong after the stream had begun; it ends it."),
        "Accepted": _ACCEPTED,
        "Job": object_of(
            _LISTED | {"queue": _QUEUE, "result": nullable(reference("Images"))},
            "A job; `result` once it is completed.",
        ),
        "ListedJob": object_of(_LISTED, "A job without its result."),
        "JobList": object_of(
            {
                "object": {"type": "string", "const": "list"},
                "data": {"type": "array", "items": reference("ListedJob")},
                "has_more": {"type": "boolean", "description": "Ask on with `after`: the last id of this page."},
            },
            "A page of jobs.",
        ),
        **{name: _tidied(schema) for name, schema in cards.items()},
        "ModelList": object_of(
            {"object": {"type": "string", "const": "list"}, "data": {"type": "array", "items": reference("ModelCard")}},
            "What the key may ask for.",
        ),
        "Alive": object_of({"status": {"type": "string", "const": "ok"}}, "It answers."),
        "Ready": _READY,
        "Error": error_schema(),
    }


IMAGES_EXAMPLE = {
    "created": 1795356000,
    "data": [{"url": _URL}],
    "output_format": "webp",
    "size": "1024x1024",
    "usage": {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
    },
    "job_id": _JOB,
    "status": "completed",
    "imagegate": {
        "job": _JOB,
        "provider": "empiriolabs",
        "cache": "miss",
        "seed": 7,
        "cost": "0.0085",
        "budget_remaining": "4.983",
    },
}
ACCEPTED_EXAMPLE = {
    "job_id": _JOB,
    "id": _JOB,
    "object": "image.job",
    "status": "queued",
    "created": 1795356000,
    "model": "flux-2-klein-4b",
    "result": None,
}
JOB_EXAMPLE = {
    "job_id": _JOB,
    "id": _JOB,
    "object": "image.job",
    "model": "flux-2-klein-4b",
    "status": "processing",
    "provider": "workers",
    "passed": [],
    "progress": 0.4,
    "created_at": "2026-11-22T10:00:00.125Z",
    "completed_at": None,
    "error": None,
    "queue": None,
    "result": None,
}


def _event(name: str) -> Schema:
    data = object_of(_shown(name) | _COMPLETED, "The image.")
    return _frame(name, data, "The last event of a stream, with its image.")


def _partial(name: str) -> Schema:
    index = _WHOLE | {"minimum": 0, "maximum": 2, "description": "Counts from 0."}
    data = _shown(name) | {"size": _SIZE, "output_format": _CODEC, "partial_image_index": index}
    return _frame(name, object_of(data, "An estimate of the image."), "What the image is becoming, before it is done.")


def _shown(name: str) -> Schema:
    return {
        "type": {"type": "string", "const": name},
        "b64_json": _IMAGE["properties"]["b64_json"],
        "created_at": _CREATED,
        "quality": {"type": "string", "const": "auto"},
        "background": {"type": "string", "const": "opaque"},
    }


def _error_event() -> Schema:
    error = error_schema()["properties"]["error"]
    return object_of({"type": {"type": "string", "const": "error"}, "error": error}, "The error.")


def _frame(event: str, data: Schema, description: str) -> Schema:
    """A server-sent event: its `data` line holds JSON (OpenAPI 3.2 writes events this way, and 3.1 leaves them open)."""
    content = _TEXT | {"contentMediaType": "application/json", "contentSchema": data}
    return object_of({"event": {"type": "string", "const": event}, "data": content}, description)


def _tidied(schema: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Without the line breaks that a docstring has."""
    if isinstance(schema, dict):
        tidied = {name: _tidied(value) for name, value in schema.items()}
        if isinstance(schema.get("description"), str):
            tidied["description"] = " ".join(schema["description"].split())
        return tidied
    return schema
