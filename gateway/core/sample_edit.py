"""The picture that stands for an edited one where no model runs: the landscape of prompt and seed, and on it, framed, the
images that the edit builds on."""

from collections.abc import Sequence

from PIL import Image, ImageOps

from gateway.core.sample_picture import draw

#: Shares of the picture: left, top, right, bottom.
_Box = tuple[float, float, float, float]
_MAIN: _Box = (0.2, 0.2, 0.8, 0.8)
#: Where the further images hang, one below the other, clear of the first and of the label at the foot.
_SIDE: _Box = (0.835, 0.08, 0.98, 0.74)
#: Side images are as small as if there were so many, so that two of them do not differ in size from three.
_SIDE_BY_SIDE = 3
_GAP = 0.1


def draw_edit(prompt: str, seed: int, width: int, height: int, references: Sequence[Image.Image]) -> Image.Image:
    """An RGB picture of exactly `width` x `height`, marked as simulated: the first reference large in the middle, the others
    small at the right, each whole. Equal arguments give equal pixels."""
    picture = draw(prompt, seed, width, height)
    boxes = (_MAIN, *_side(len(references) - 1))
    for reference, box in zip(references, boxes, strict=False):
        _hang(picture, reference, box)
    return picture


def _side(count: int) -> list[_Box]:
    left, top, right, bottom = _SIDE
    step = (bottom - top) / max(count, _SIDE_BY_SIDE)
    return [(left, top + number * step, right, top + (number + 1 - _GAP) * step) for number in range(count)]


def _hang(picture: Image.Image, reference: Image.Image, box: _Box) -> None:
    """Fitted into its share of the picture, in a white frame with a dark edge."""
    left, top, right, bottom = (
        share * side for share, side in zip(box, (picture.width, picture.height) * 2, strict=True)
    )
    scale = min((right - left) / reference.width, (bottom - top) / reference.height)
    size = (max(1, round(reference.width * scale)), max(1, round(reference.height * scale)))
    frame = max(1, round(min(picture.size) / 128))
    shown = ImageOps.expand(reference.convert("RGB").resize(size, Image.Resampling.LANCZOS), frame, "white")
    shown = ImageOps.expand(shown, 1, "#20242c")
    picture.paste(shown, (round((left + right - shown.width) / 2), round((top + bottom - shown.height) / 2)))
