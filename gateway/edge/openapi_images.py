"""The three image operations in the API's description: their bodies derive from the very types that check them."""

from collections.abc import Mapping
from typing import Any

from gateway.core.ask import Ask, Edit, Generation, Variation
from gateway.core.images import (
    LARGEST_IMAGE_BODY,
    LARGEST_MASK,
    LARGEST_REFERENCE,
    LEAST_REFERENCE_SIDE,
    MAX_SIDE,
    MOST_REFERENCE_PIXELS,
)
from gateway.edge.openapi_answers import FIELDS, LIMIT_HEADERS, Schema, failures, json_of, reference, response
from gateway.edge.openapi_quote import QUOTE_EXAMPLE
from gateway.edge.openapi_schemas import ACCEPTED_EXAMPLE, IMAGES_EXAMPLE

_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_NO_EFFECT = "Without effect here: see `x-imagegate-ignored`."
_MASK = (
    "A PNG of the image's size, fully transparent where that one is to be painted anew; under "
    f"{LARGEST_MASK >> 20} MB. It goes with exactly one image, and is refused as `unsupported_parameter` where no provider "
    "honours masks."
)
_MARKUP = "Read, and refused as `unsupported_parameter`: no model served here can honour it."
_NEEDED = "Needed, under this name or the next."
_LIMITS = (
    f"PNG, JPEG or WebP, {LEAST_REFERENCE_SIDE} to {MAX_SIDE} pixels a side; up to {LARGEST_REFERENCE >> 20} MB and "
    f"{MOST_REFERENCE_PIXELS / 1e6:.1f} megapixels each, {LARGEST_IMAGE_BODY >> 20} MB a request."
)
#: What holds for every model when the field is absent; the rest is the model's own.
_DEFAULTS = {
    "n": 1,
    "num_images": 1,
    "size": "auto",
    "sync": True,
    "stream": False,
    "partial_images": 0,
    "return_base64": False,
}

_URI = {"type": "string", "pattern": "^(data:|https?://)"}
_SOURCE = {
    "description": "`data:image/png;base64,…`, or an http(s) URL where the gateway allows it; as it is, or as `image_url`.",
    "anyOf": [
        _URI,
        {"type": "object", "required": ["image_url"], "properties": {"image_url": _URI}, "additionalProperties": False},
    ],
}
_ONE = reference("ImageSource")
_NULL = {"type": "null"}
_EITHER = ("images", "image")
_OVERLAYS = {"mask": _MASK, "markup": _MARKUP}
_SQUARE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAUUlEQVR42u3PMQ0AMAgAMJguhKEUPVPBQdI6aE5XXPbi"
    "OAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAYF9H4VQAgo8bghSAAAAAElFTkSuQmCC"
)
_PICTURE = {"prompt": "a harbour in the rain, ink and wash", "size": "1024x1024", "seed": 7}
_GENERATION_EXAMPLES = {
    "picture": {"summary": "A picture", "value": _PICTURE},
    "stream": {"summary": "As a stream", "value": {"prompt": "a lighthouse", "model": "gpt-image-1", "stream": True}},
    "job": {"summary": "As a job", "value": {"prompt": "a lighthouse", "n": 2, "sync": False}},
}
_EDIT_EXAMPLES = {
    "url": {
        "summary": "With an image in the body",
        "value": {"images": [{"image_url": _SQUARE}], "prompt": "the same square, in watercolour"},
    }
}
#: A file is written as curl does: the bytes of photo.png.
_FORM_EXAMPLES = {
    "file": {"summary": "With a file", "value": {"image": "@photo.png", "prompt": "the same scene at night"}}
}
_VARIATION_EXAMPLES = {"file": {"summary": "With a file", "value": {"image": "@photo.png", "n": 2}}}

_ASKED = (*FIELDS, "invalid_image_file", "invalid_api_key", "model_not_allowed", "model_not_found", "not_cached")
_MADE = ("moderation_blocked", "cancelled", "idempotency_key_reused", "unsupported_media_type")
_LIMITED = ("insufficient_quota", "budget_reserved", "rate_limit_exceeded")
_UPSTREAM = ("upstream_error", "upstream_unconfirmed", "upstream_unavailable", "timeout")
_PARAMETERS = ("Prefer", "Cache", "DryRun", "IdempotencyKey")
_HEADERS = (
    "openai-processing-ms",
    "x-imagegate-job",
    "x-imagegate-provider",
    "x-imagegate-cache",
    "x-imagegate-seed",
    "x-imagegate-cost",
    "x-imagegate-budget-remaining",
    "x-imagegate-budget-warning",
    "x-imagegate-queue-position",
    *LIMIT_HEADERS,
    "x-imagegate-ignored",
)


def paths(most: int) -> Schema:
    """`most`: images that one order may build on."""
    return {
        "/v1/images/generations": {"post": _generation()},
        "/v1/images/edits": {"post": _edit(most)},
        "/v1/images/variations": {"post": _variation()},
    }


def request_schemas(most: int) -> Schema:
    """Components by name: the bodies of the three, and what they refer to. `most` as for `paths`."""
    bodies = {
        "CreateImageRequest": _json_body(Generation, {"image": _sources(most, "Images to build on, as an edit does.")}),
        "EditImageRequest": _form_body(Edit, most, _OVERLAYS),
        "EditImageJsonRequest": _json_body(Edit, _named(most) | _overlays(_ONE, _OVERLAYS), *_EITHER),
        "CreateImageVariationRequest": _form_body(Variation, 1, {}),
        "CreateImageVariationJsonRequest": _json_body(Variation, _named(1), *_EITHER),
    }
    found = {name: defined for body in bodies.values() for name, defined in body.pop("$defs", {}).items()}
    return {**found, **bodies, "ImageSource": _SOURCE}


def _generation() -> Schema:
    content = {"application/json": {"schema": reference("CreateImageRequest"), "examples": _GENERATION_EXAMPLES}}
    return _operation("createImage", "Make images from a prompt.", content, "ImageGeneration")


def _edit(most: int) -> Schema:
    content = {
        "multipart/form-data": {"schema": reference("EditImageRequest"), "examples": _FORM_EXAMPLES},
        "application/json": {"schema": reference("EditImageJsonRequest"), "examples": _EDIT_EXAMPLES},
    }
    return _operation("createImageEdit", f"Make images from a prompt and up to {most} images.", content, "ImageEdit")


def _variation() -> Schema:
    content = {
        "multipart/form-data": {"schema": reference("CreateImageVariationRequest"), "examples": _VARIATION_EXAMPLES},
        "application/json": {"schema": reference("CreateImageVariationJsonRequest")},
    }
    return _operation("createImageVariation", "Make images like one image; the model's policy has the prompt.", content)


def _operation(name: str, summary: str, content: Schema, streamed: str | None = None) -> Schema:
    """`streamed`: what the components of a stream's events begin with, where the operation can be streamed."""
    answers: Schema = {
        "application/json": {
            "schema": {"oneOf": [reference("Images"), reference("Quote")]},
            "examples": {
                "images": {"summary": "The images", "value": IMAGES_EXAMPLE},
                "quote": {"summary": "A quote, of a dry run", "value": QUOTE_EXAMPLE},
            },
        }
    }
    if streamed is not None:
        events = [reference(name) for name in (f"{streamed}PartialEvent", f"{streamed}Event", "ErrorEvent")]
        answers["text/event-stream"] = {"schema": {"oneOf": events}}
    return {
        "operationId": name,
        "tags": ["Images"],
        "summary": summary,
        "parameters": [{"$ref": f"#/components/parameters/{each}"} for each in _PARAMETERS],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": response("The images; of a dry run the quote.", answers, *_HEADERS),
            "202": response("The job goes on.", json_of("Accepted", ACCEPTED_EXAMPLE), *_HEADERS[1:], "location"),
            **failures(*_ASKED, *_MADE, *_LIMITED, *_UPSTREAM),
        },
    }


def _json_body(kind: type[Ask], images: Schema, *needed: str) -> Schema:
    return _with_one_of(_described(kind, images), *needed)


def _named(most: int) -> Schema:
    return {
        "images": _sources(most, f"{_NEEDED} One image, or a list."),
        "image": _sources(most, "The same by another name; EmpirioLabs' own."),
    }


def _sources(most: int, description: str) -> Schema:
    several = {"type": "array", "items": _ONE, "maxItems": most}
    return {"description": description, "anyOf": [_ONE, several, _NULL]}


def _form_body(kind: type[Ask], most: int, overlays: Mapping[str, str]) -> Schema:
    """In a form a null is the text `null`, which JavaScript's clients send."""
    several = {"type": "array", "items": _FILE, "maxItems": most}
    images = {
        "image": {"description": f"{_NEEDED} {_LIMITS}", "anyOf": [_FILE, several]},
        "image[]": several | {"description": "The same, as OpenAI's SDKs call a list."},
        **_overlays(_FILE, overlays),
    }
    return _with_one_of(_described(kind, images), "image", "image[]")


def _overlays(kind: Schema, described: Mapping[str, str]) -> Schema:
    return {name: {"description": text, "anyOf": [kind, _NULL]} for name, text in described.items()}


def _with_one_of(schema: Schema, *names: str) -> Schema:
    return schema | {"anyOf": [{"required": [name]} for name in names]} if names else schema


def _described(kind: type[Ask], images: Schema) -> Schema:
    """The type's schema: what is required, then images, then the rest."""
    schema: dict[str, Any] = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    described = {name: _field(name, field) for name, field in schema["properties"].items()}
    required = {name: described.pop(name) for name in schema.get("required", ())}
    return schema | {"properties": required | images | described}


def _field(name: str, field: Schema) -> Schema:
    """One that has no description of its own has no effect."""
    kept = {key: value for key, value in field.items() if key not in ("title", "default")}
    default = {"default": _DEFAULTS[name]} if name in _DEFAULTS else {}
    return {"description": _NO_EFFECT, **kept, **default}
