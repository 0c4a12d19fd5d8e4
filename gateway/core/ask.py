"""An ask: what came in, in OpenAI's words and EmpirioLabs' own side by side, each field of a known type, nulls absent."""

import re
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.core.errors import InvalidRequest
from gateway.core.order import Codec, Operation

#: Widest ranges of any model; the catalogue narrows them to the model asked for.
_Int = Annotated[int, Field(strict=True)]
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def _jpeg(value: object) -> object:
    return "jpeg" if value == "jpg" else value


Format = Annotated[Literal["png", "webp", "jpeg", "jpg"], BeforeValidator(_jpeg)]


class Ask(BaseModel):
    """What all three operations take. Fields the model cannot honour are read and checked too: a wrong value there is still
    wrong. Images come beside it, as bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    operation: ClassVar[Operation]

    model: str | None = Field(None, description="Model id or alias; the default of the routes when absent.")
    n: Annotated[_Int, Field(ge=1, le=10)] | None = Field(None, description="Images to make, 1 to 10.")
    num_images: Annotated[_Int, Field(ge=1, le=10)] | None = Field(None, description="Another name for n.")
    size: str | None = Field(
        None, description="`WIDTHxHEIGHT` or `auto`; each side 256 to 2048, 1,048,576 pixels at most."
    )
    width: Annotated[_Int, Field(ge=1, le=65535)] | None = Field(None, description="Pixels; together with height.")
    height: Annotated[_Int, Field(ge=1, le=65535)] | None = Field(None, description="Pixels; together with width.")
    aspect_ratio: str | None = Field(None, description="1:1, 16:9, 9:16, 4:3, 3:4, 3:2 or 2:3.")
    seed: Annotated[_Int, Field(ge=-1, le=2**32 - 1)] | None = Field(
        None, description="0 to 2^32-1; null or -1: the gateway draws one and returns it."
    )
    num_inference_steps: _Int | None = Field(None, description="Denoising steps, 1 to 12.")
    guidance_scale: Annotated[float, Field(allow_inf_nan=False)] | None = Field(None, description="0 to 8.")
    max_sequence_length: _Int | None = Field(None, description="Prompt tokens the model conditions on, 64 to 512.")
    format: Format | None = Field(None, description="Codec of the picture.")
    output_format: Format | None = Field(None, description="Codec of the picture; OpenAI's name.")
    response_format: Literal["url", "b64_json"] | None = Field(None, description="How the picture is answered.")
    return_base64: bool | None = Field(None, description="true: as response_format=b64_json.")
    sync: bool | None = Field(None, description="false: answer 202 with a job at once.")
    user: str | None = Field(None, description="Your end user; kept with job and ledger.")
    safety_identifier: str | None = Field(None, description="As user; wins when not empty.")
    stream: bool | None = Field(None, description="true: answer with server-sent events; n must be 1.")
    partial_images: Annotated[_Int, Field(ge=0, le=3)] | None = Field(
        None, description="Pictures on the way that a stream shows at most; only GPU workers of your own have any."
    )
    # What follows has no effect on FLUX.2 Klein and is named in `x-imagegate-ignored`.
    negative_prompt: str | None = None
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = None
    style: Literal["vivid", "natural"] | None = None
    background: Literal["auto", "transparent", "opaque"] | None = None
    moderation: Literal["auto", "low"] | None = None
    input_fidelity: Literal["high", "low"] | None = None
    output_compression: Annotated[_Int, Field(ge=0, le=100)] | None = None
    complexity: Literal["low", "medium", "high"] | None = None
    frame_count: Annotated[_Int, Field(ge=2, le=64)] | None = None
    frame_duration_ms: Annotated[_Int, Field(ge=1, le=655_350)] | None = None

    @property
    def seeded(self) -> bool:
        """Does it name the seed, and so a picture?"""
        return self.seed is not None and self.seed >= 0


Prompt = Annotated[str, Field(min_length=1, description="What the image shall show.")]


class Generation(Ask):
    model_config = ConfigDict(title="CreateImageRequest")
    operation = "generation"
    prompt: Prompt


class Edit(Ask):
    model_config = ConfigDict(title="EditImageRequest")
    operation = "edit"
    prompt: Prompt


class Variation(Ask):
    """The prompt is the model's own `variation_prompt`."""

    model_config = ConfigDict(title="CreateImageVariationRequest")
    operation = "variation"
    stream: bool | None = Field(None, description="true is refused: variations are not streamed.")


_Kind = TypeVar("_Kind", bound=Ask)

#: Values that ask for nothing special, so that accepting them without effect hides nothing.
_NEUTRAL = {"quality": "auto", "background": "auto", "moderation": "auto", "partial_images": 0}
_WITHOUT_EFFECT = (
    "negative_prompt",
    "quality",
    "style",
    "background",
    "moderation",
    "input_fidelity",
    "output_compression",
    "complexity",
    "frame_count",
    "frame_duration_ms",
)

_PERHAPS_WITHOUT = frozenset({*_WITHOUT_EFFECT, "partial_images"})

#: OpenAI's own beside those that are made here.
_OTHER_FORMATS = ("gif", "svg")

_CODES = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}
_TYPE_ERRORS = re.compile(r".*_(type|parsing|from_float)|is_instance_of|model_attributes_type")


def read(fields: object, kind: type[_Kind]) -> _Kind:
    """Check a decoded JSON value. Raises InvalidRequest naming the field, with the contract's code; never echoes a value."""
    if not isinstance(fields, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    _refuse_unserved(fields)
    given = {name: value for name, value in fields.items() if value is not None}  # a null is as good as nothing
    try:
        ask = kind.model_validate(given)
    except ValidationError as error:
        raise _problem(error) from None  # the cause would carry the prompt into a log
    if ask.stream:
        _check_stream(ask)
    return ask


def _refuse_unserved(fields: dict[str, object]) -> None:
    """What OpenAI knows, and no model served here can honour."""
    if fields.get("svg") is not None:
        raise InvalidRequest("'svg' is not served here.", code="unsupported_parameter", param="svg")
    for name in ("format", "output_format"):
        if (value := fields.get(name)) in _OTHER_FORMATS:
            message = f"'{name}' must be one of {', '.join(get_args(Codec))}: {value} is not served here."
            raise InvalidRequest(message, code="unsupported_parameter", param=name)


def _check_stream(ask: Ask) -> None:
    """A stream's one event has no place for a second picture, for a URL or for a job's id alone."""
    if ask.operation == "variation":
        raise InvalidRequest("Variations are not streamed.", code="unsupported_parameter", param="stream")
    if (one_of(ask, "n", "num_images") or 1) > 1:
        raise InvalidRequest("Streaming is only supported with n=1.", param="n")
    if ask.response_format == "url":
        raise InvalidRequest("A stream carries b64_json, not a url.", param="response_format")
    if ask.sync is False:
        raise InvalidRequest("'sync': false asks for a job, 'stream' for its picture.", param="sync")


def ignored(ask: Ask) -> tuple[str, ...]:
    """The fields that were given, mean something, and have no effect."""
    if ask.model_fields_set.isdisjoint(_PERHAPS_WITHOUT):
        return ()  # as good as always
    nowhere = _WITHOUT_EFFECT if ask.stream else (*_WITHOUT_EFFECT, "partial_images")
    return tuple(name for name in nowhere if getattr(ask, name) not in (None, _NEUTRAL.get(name)))


def one_of(ask: Ask, name: str, other: str) -> Any:  # noqa: ANN401 - whichever field it is
    """The value of two names for one thing. Raises InvalidRequest naming the second when they differ."""
    first, second = getattr(ask, name), getattr(ask, other)
    if first is not None and second is not None and first != second:
        raise InvalidRequest(f"'{other}' and '{name}' are two names for one thing and differ.", param=other)
    return first if first is not None else second


def split_size(text: str, param: str = "size") -> tuple[int, int]:
    """`WIDTHxHEIGHT` in pixels. Raises InvalidRequest."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidRequest("Invalid size: write WIDTHxHEIGHT, such as 1024x1024, or auto.", param=param)
    return int(match[1]), int(match[2])


def _problem(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(first["loc"][0])[:64] if first["loc"] else None
    kind = first["type"]
    code = _CODES.get(kind) or ("invalid_type" if _TYPE_ERRORS.fullmatch(kind) else "invalid_value")
    if code == "unknown_parameter":
        return InvalidRequest(f"Unknown parameter: '{name}'.", code=code, param=name)
    if code == "missing_required_parameter":
        return InvalidRequest(f"Missing required parameter: '{name}'.", code=code, param=name)
    return InvalidRequest(f"Invalid '{name}': {first['msg']}.", code=code, param=name)
