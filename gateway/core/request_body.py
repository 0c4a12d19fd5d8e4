"""A request's body, JSON or multipart, into its fields and its images: pure, so that a child process can do it as well."""

from dataclasses import dataclass

import msgspec

from gateway.core.errors import InvalidRequest, UnsupportedMediaType
from gateway.core.form_body import read_form, too_many
from gateway.core.image_source import Source, of_json
from gateway.core.order import Operation

_FORM = "multipart/form-data"
#: What is an image in which operation; elsewhere the name is a field like any other, and unknown to the ask.
_NAMES: dict[Operation, tuple[str, ...]] = {
    "generation": ("image",),
    "edit": ("image", "images"),
    "variation": ("image", "images"),
}
_OVERLAYS: dict[Operation, tuple[str, ...]] = {"generation": (), "edit": ("mask", "markup"), "variation": ()}


@dataclass(frozen=True, slots=True)
class Parsed:
    """`fields` are JSON values or, of a `form`, texts; images in the order in which they were sent. `binary` names the
    other parts of a form that are no text: no field takes such a part."""

    fields: dict[str, object]
    form: bool
    images: tuple[Source, ...] = ()
    mask: Source | None = None
    markup: Source | None = None
    binary: tuple[str, ...] = ()


def parse(body: bytes | bytearray | memoryview, content_type: str, operation: Operation, most_images: int) -> Parsed:
    """Raises InvalidRequest and UnsupportedMediaType. Nothing is decoded but base64, and more than `most_images` not at all."""
    if is_form(content_type, operation):
        parsed = _of_form(body, content_type, operation, most_images)
    else:
        parsed = _of_json(body, operation, most_images)
    if operation != "generation" and not parsed.images:
        message = "Missing required parameter: 'image'."
        raise InvalidRequest(message, code="missing_required_parameter", param="image")
    if operation == "variation" and len(parsed.images) > 1:
        raise InvalidRequest("A variation takes exactly one image.", param=parsed.images[0].param)
    if parsed.mask is not None and len(parsed.images) > 1:
        message = "A mask goes with exactly one image here: what paints into that one builds on no other."
        raise InvalidRequest(message, code="unsupported_parameter", param="mask")
    return parsed


def is_form(content_type: str, operation: Operation) -> bool:
    """Raises UnsupportedMediaType for what is neither JSON nor, where files may come, a form. Nothing said is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _FORM and operation != "generation":
        return True
    if kind not in {"application/json", ""}:
        other = "" if operation == "generation" else f" or {_FORM}"
        raise UnsupportedMediaType(f"Send the request as application/json{other}.")
    return False


def decode(body: bytes | bytearray | memoryview) -> object:
    """A JSON value. Raises InvalidRequest for bad syntax, bad UTF-8 and nesting that no image request has."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise InvalidRequest("The request body is not valid JSON.") from None


def _of_form(body: bytes | bytearray | memoryview, content_type: str, operation: Operation, most: int) -> Parsed:
    form = read_form(memoryview(body), content_type, _OVERLAYS[operation], most)
    mask, markup = form.overlays.get("mask"), form.overlays.get("markup")
    return Parsed(form.fields, form=True, images=form.images, mask=mask, markup=markup, binary=form.binary)


def _of_json(body: bytes | bytearray | memoryview, operation: Operation, most: int) -> Parsed:
    fields = decode(body)
    if not isinstance(fields, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    images = _images(fields, _NAMES[operation], most)
    overlays = {
        name: of_json(value, name)
        for name in _OVERLAYS[operation]
        if (value := fields.pop(name, None)) is not None
    }  # fmt: skip
    return Parsed(fields, form=False, images=images, mask=overlays.get("mask"), markup=overlays.get("markup"))


def _images(fields: dict[str, object], names: tuple[str, ...], most: int) -> tuple[Source, ...]:
    """Takes them out of `fields`."""
    given = [(name, value) for name in names if (value := fields.pop(name, None)) is not None]
    if not given:
        return ()
    name, value = given[-1]
    if len(given) > 1:
        raise InvalidRequest("Send either 'image' or 'images'.", param=name)
    each = value if isinstance(value, list) else [value]
    if len(each) > most:
        raise too_many(most, name)
    return tuple(of_json(image, name) for image in each)
