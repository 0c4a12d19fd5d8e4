"""EmpirioLabs' words: the parameters of `flux-2-klein-4b` with their ranges, the error envelope, the catalogue's entry.

Parameters and ranges are those of the model's page. What that page leaves open is assumed, and said where it is: unknown
fields are accepted, `size` keeps to the sides that width and height have, two names for one thing must not disagree.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import msgspec

from gateway.core.order import Codec

MODEL = "flux-2-klein-4b"
PRICE = Decimal("0.0085")  # dollars for each returned image
MOST_PIXELS = 1_048_576
LONGEST_PROMPT = 32_000  # characters; upstream's own limit is not known

Kind = Literal["string", "integer", "number", "boolean", "enum", "array"]
#: A ratio's size is not on the page: these are the nearest multiples of 16 to the ratio that fill the pixel limit.
RATIOS = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
    "4:3": (1152, 864),
    "3:4": (864, 1152),
    "3:2": (1248, 832),
    "2:3": (832, 1248),
}
CODECS: dict[str, Codec] = {"webp": "webp", "png": "png", "jpg": "jpeg", "jpeg": "jpeg"}
MOST_REFERENCES = 4  # upstream's own limit is not known
_REFERENCES = ("data:", "http://", "https://", "bunny://")


class RefusedError(Exception):
    """An answer in the error envelope. `retry_after` is in seconds of the simulator's clock."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def envelope(self) -> dict[str, object]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"  # noqa: PLR2004 - the class of 5xx
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the page's table; `low` and `high` are inclusive."""

    name: str
    kind: Kind
    default: str | float | bool | None = None
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


PARAMETERS = (
    Parameter("model", "string"),
    Parameter("prompt", "string"),
    Parameter("negative_prompt", "string"),
    Parameter("aspect_ratio", "enum", "1:1", values=tuple(RATIOS)),
    Parameter("size", "string"),
    Parameter("width", "integer", low=256, high=2048),
    Parameter("height", "integer", low=256, high=2048),
    Parameter("num_inference_steps", "integer", 4, low=1, high=12),
    Parameter("guidance_scale", "number", 1, low=0, high=8),
    Parameter("seed", "integer"),
    Parameter("num_images", "integer", 1, low=1, high=4),
    Parameter("n", "integer", low=1, high=4),
    Parameter("format", "enum", "webp", values=tuple(CODECS)),
    Parameter("response_format", "enum", "url", values=("url", "b64_json")),
    Parameter("return_base64", "boolean", default=False),
    Parameter("max_sequence_length", "integer", 512, low=64, high=512),
    Parameter("sync", "boolean", default=False),
    Parameter("image", "array"),
)


@dataclass(frozen=True, slots=True)
class Submit:
    """A request read whole. `seed` is None where the caller named none."""

    prompt: str
    seed: int | None
    width: int
    height: int
    images: int
    codec: Codec
    as_base64: bool
    sync: bool


def read_submit(body: bytes) -> tuple[Submit, tuple[str, ...]]:
    """The request, and apart from it, as they may be megabytes, the addresses of its reference images.

    Raises RefusedError for anything the page does not allow.
    """
    fields = _object(body)
    for parameter in PARAMETERS:
        if parameter.name in fields:
            _check(parameter, fields[parameter.name])
    if fields.get("model") != MODEL:
        if "model" in fields:
            raise RefusedError(404, "model_not_found", f"The model {fields['model']!r} does not exist.", param="model")
        raise _bad("model", "is required", "missing_required_parameter")
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise _bad("prompt", "is required", "missing_required_parameter")
    if len(prompt) > LONGEST_PROMPT:
        raise _bad("prompt", f"is longer than {LONGEST_PROMPT} characters")
    width, height = _size(fields)
    seed = fields.get("seed")
    submit = Submit(
        prompt=prompt,
        seed=None if seed is None else _whole(seed),
        width=width,
        height=height,
        images=_images(fields),
        codec=CODECS[str(fields.get("format", "webp"))],
        as_base64=fields.get("response_format") == "b64_json" or fields.get("return_base64") is True,
        sync=fields.get("sync") is True,
    )
    return submit, _references(fields)


def _object(body: bytes) -> dict[str, object]:
    """The body's fields; nulls are absent."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(400, "invalid_json", f"The body is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise RefusedError(400, "invalid_json", "The body must be a JSON object.")
    return {name: value for name, value in fields.items() if value is not None}


def _bad(param: str, what: str, code: str = "invalid_value") -> RefusedError:
    return RefusedError(400, code, f"{param} {what}.", param=param)


def _whole(value: object) -> int:
    """A checked number; the page says `number` for whole ones too, so 4.0 is 4."""
    return int(value) if isinstance(value, int | float) else 0


def _check(parameter: Parameter, value: object) -> None:
    name, kind = parameter.name, parameter.kind
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _bad(name, "must be a number", "invalid_type")
        if kind == "integer" and value != int(value):
            raise _bad(name, "must be a whole number")
        if (parameter.low is not None and value < parameter.low) or (
            parameter.high is not None and value > parameter.high
        ):
            raise _bad(name, f"must be from {parameter.low} to {parameter.high}, not {value}")
    elif kind == "boolean":
        if not isinstance(value, bool):
            raise _bad(name, "must be true or false", "invalid_type")
    elif kind != "array" and not isinstance(value, str):  # the one array is read by `_references`
        raise _bad(name, "must be a string", "invalid_type")
    elif parameter.values and value not in parameter.values:
        raise _bad(name, f"must be one of {', '.join(parameter.values)}, not {value!r}")


def _references(fields: Mapping[str, object]) -> tuple[str, ...]:
    """What stands behind the addresses is looked at later; an http(s) one is never fetched."""
    if "image" not in fields:
        return ()
    value = fields["image"]
    if not isinstance(value, list):
        raise _bad("image", "must be a list of strings", "invalid_type")
    addresses = tuple(one for one in value if isinstance(one, str) and one.startswith(_REFERENCES))
    if len(addresses) != len(value):
        raise _bad("image", "holds something that is no data:, http(s): or bunny: address")
    if not 1 <= len(addresses) <= MOST_REFERENCES:
        raise _bad("image", f"must hold 1 to {MOST_REFERENCES} images, not {len(addresses)}")
    return addresses


def _size(fields: Mapping[str, object]) -> tuple[int, int]:
    """Width and height win over `size`, `size` over `aspect_ratio` (that order is assumed)."""
    if ("width" in fields) != ("height" in fields):
        raise _bad("height" if "width" in fields else "width", "is missing: width and height are set together")
    if "width" in fields:
        param, width, height = "width", _whole(fields["width"]), _whole(fields["height"])
    elif "size" in fields:
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(fields["size"]), re.ASCII)
        if match is None:
            raise _bad("size", "must be WIDTHxHEIGHT")
        param, width, height = "size", int(match[1]), int(match[2])
        if not (256 <= width <= 2048 and 256 <= height <= 2048):  # noqa: PLR2004 - the page's range for width and height
            raise _bad("size", "must have sides from 256 to 2048")
    else:
        return RATIOS[str(fields.get("aspect_ratio", "1:1"))]
    if width * height > MOST_PIXELS:
        raise _bad(param, f"makes {width * height} pixels, and {MOST_PIXELS} are allowed")
    return width, height


def _images(fields: Mapping[str, object]) -> int:
    if "n" in fields and "num_images" in fields and fields["n"] != fields["num_images"]:
        raise _bad("n", "and num_images differ")
    return _whole(fields.get("num_images", fields.get("n", 1)))


def model_entry(price: Decimal) -> dict[str, object]:
    """The catalogue's entry. The names of the lists are documented, those inside a row are assumed."""
    return {
        "id": MODEL,
        "object": "model",
        "owned_by": "black-forest-labs",
        "name": "FLUX.2 Klein 4B (simulated)",
        "capabilities": ["text-to-image", "image-editing"],
        "input_modalities": ["text", "image"],
        "output_modalities": ["image"],
        "pricing_rows": [
            {"label": "Image generation", "unit": "image", "price": f"{price:f}", "currency": "USD", "was": "0.014"}
        ],
        "supported_parameters": [_described(parameter) for parameter in PARAMETERS],
    }


def _described(parameter: Parameter) -> dict[str, object]:
    said: dict[str, object] = {
        "name": parameter.name,
        "type": "number" if parameter.kind == "integer" else parameter.kind,
    }
    if parameter.default is not None:
        said["default"] = parameter.default
    if parameter.low is not None:
        said["range"] = [parameter.low, parameter.high]
    if parameter.values:
        said["values"] = list(parameter.values)
    return said
