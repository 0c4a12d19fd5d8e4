"""How large a picture becomes: what was asked, held against what the model can do."""

from collections.abc import Sequence
from math import isqrt

from gateway.core import ask as asks
from gateway.core.ask import Ask
from gateway.core.errors import InvalidRequest
from gateway.core.order import Reference
from gateway.core.policy import ModelPolicy

#: Sides that local models make without cropping, and that every provider takes.
_STEP = 16


def picture_size(ask: Ask, model: ModelPolicy, alias: str | None, references: Sequence[Reference]) -> tuple[int, int]:
    """Width and height in pixels: as asked, else of the ratio asked for, else of an edit's first image, else square.

    Raises InvalidRequest naming the field.
    """
    ratio = "1:1" if ask.aspect_ratio is None else ask.aspect_ratio
    if ratio not in model.aspect_ratios:
        supported = ", ".join(model.aspect_ratios)
        raise InvalidRequest(f"Invalid 'aspect_ratio'. Supported values are: {supported}.", param="aspect_ratio")
    asked = ask.size if ask.size not in (None, "auto") else None
    if asked is not None and alias is not None:
        asked = model.alias_sizes.get(asked, asked)
    pair = _pair(ask)
    if asked is not None:
        size = asks.split_size(asked)
        if pair is not None and pair != size:
            raise InvalidRequest("'width' and 'height' differ from 'size'.", param="width")
        return _legal(size, model, "size")
    if pair is not None:
        return _legal(pair, model, "width")
    if ask.aspect_ratio is None and ask.operation != "generation" and references:
        return like(references[0], model)
    return asks.split_size(model.aspect_ratios[ratio])


def overruled(ask: Ask, model: ModelPolicy, width: int, height: int) -> tuple[str, ...]:
    """`aspect_ratio`, where a size that was given as well has another shape: the size wins."""
    if ask.aspect_ratio is None:
        return ()
    wide, high = asks.split_size(model.aspect_ratios[ask.aspect_ratio])
    return () if width * high == height * wide else ("aspect_ratio",)


def like(reference: Reference, model: ModelPolicy) -> tuple[int, int]:
    """The largest size of the reference's ratio whose sides are multiples of 16, as far as the model's sides allow."""
    pixels, (least, most) = model.limits.pixels, model.limits.side
    most = min(most, pixels // least)  # beside the shortest side

    def side(one: int, other: int) -> int:
        return max(least, min(most, isqrt(pixels * one // other)) // _STEP * _STEP)

    return side(reference.width, reference.height), side(reference.height, reference.width)


def _pair(ask: Ask) -> tuple[int, int] | None:
    if ask.width is None and ask.height is None:
        return None
    for name, value in (("width", ask.width), ("height", ask.height)):
        if value is None:
            raise InvalidRequest("'width' and 'height' go together.", code="missing_required_parameter", param=name)
    return (ask.width or 0, ask.height or 0)


def _legal(size: tuple[int, int], model: ModelPolicy, param: str) -> tuple[int, int]:
    least, most = model.limits.side
    for name, side in zip(("width", "height"), size, strict=True):
        if not least <= side <= most:
            raise InvalidRequest(
                f"{name} {side} is out of range: each side {least} to {most} pixels.",
                param=param if param == "size" else name,
            )
    if size[0] * size[1] > model.limits.pixels:
        raise InvalidRequest(
            f"{size[0]}x{size[1]} is too large: width × height must be at most {model.limits.pixels} pixels.",
            param=param,
        )
    return size
