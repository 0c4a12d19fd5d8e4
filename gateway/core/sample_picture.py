"""The picture that stands for a generated one where no model runs: a landscape that follows from prompt and seed alone,
visibly marked as simulated."""

from bisect import bisect
from dataclasses import dataclass
from hashlib import shake_256
from itertools import pairwise
from math import pi, sin
from unicodedata import normalize

from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

Colour = tuple[int, int, int]
Point = tuple[float, float]

#: Outlines are drawn this much larger and reduced, which is what makes their edges smooth.
_FINE = 2
#: Shorter sides are reduced from this one.
_SMALLEST = 64


@dataclass(frozen=True, slots=True)
class _Palette:
    """Colours of one hour of the day; `far` and `near` are those of the most distant ridge and of the closest."""

    top: str
    middle: str
    horizon: str
    light: str
    far: str
    near: str
    stars: bool = False


_PALETTES = (
    _Palette("#2b3a67", "#b56576", "#ffb997", "#ffe8c2", "#a26769", "#1f1a38"),
    _Palette("#3d5a98", "#9db4d8", "#fbe3c8", "#fffaf0", "#8fa6c4", "#16324a"),
    _Palette("#0b1026", "#1d2a55", "#4a5a8f", "#f4f1de", "#33406e", "#070a17", stars=True),
    _Palette("#35155d", "#8c3d88", "#ff8a73", "#ffd9a0", "#7d3c7d", "#1b0b2e"),
    _Palette("#56a3c4", "#a9d6e5", "#f1faee", "#fffdf2", "#86b8b1", "#17403c"),
    _Palette("#c9653b", "#f2a65a", "#ffe1a8", "#fff6df", "#cf8a5b", "#47201a"),
    _Palette("#0d2b33", "#1f6f78", "#a8e6cf", "#f7fff7", "#3f8f8b", "#06191d", stars=True),
    _Palette("#6d83a8", "#c3bfd9", "#f7dfe4", "#fff9f4", "#a79fc0", "#3a3557"),
    _Palette("#274046", "#7f8f6a", "#f3d98b", "#fff3c4", "#8d9460", "#1c2a20"),
    _Palette("#16213e", "#53354a", "#e84545", "#ffd1a9", "#5c2f48", "#0d0b1c"),
)


class _Dice:
    """A fixed stream of numbers for one prompt and seed: the same on every platform and version of Python."""

    def __init__(self, prompt: str, seed: int) -> None:
        self._bytes = iter(shake_256(f"{seed}:{prompt}".encode("utf-8", "replace")).digest(4096))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * (next(self._bytes) << 8 | next(self._bytes)) / 65535

    def chance(self, share: float) -> bool:
        return self.between(0, 1) < share

    def below(self, end: int) -> int:
        return next(self._bytes) % end


def draw(prompt: str, seed: int, width: int, height: int) -> Image.Image:
    """An RGB picture of exactly `width` x `height`: equal arguments give equal pixels, another prompt or seed another scene."""
    if min(width, height) < _SMALLEST:
        whole = draw(prompt, seed, max(width, _SMALLEST), max(height, _SMALLEST))
        return whole.resize((width, height), Image.Resampling.BOX)
    dice = _Dice(prompt, seed)
    palette = _PALETTES[dice.below(len(_PALETTES))]
    picture = _column((palette.top, palette.middle, palette.horizon), width, int(height * 0.75) + 1, height)
    if palette.stars:
        _stars(picture, dice)
    sun = _sun(picture, dice, palette)
    _clouds(picture, dice, palette)
    _land(picture, dice, palette, sun)
    _label(picture, prompt, seed)
    return picture


def _rgb(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour in the first."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _column(colours: tuple[str, str, str], width: int, end: int, height: int) -> Image.Image:
    """A vertical gradient through three colours that ends at row `end`; painted one pixel wide and stretched."""
    ramp = Image.linear_gradient("L").resize((1, end), Image.Resampling.BILINEAR)
    black, mid, white = colours
    column = Image.new("RGB", (1, height), white)
    column.paste(ImageOps.colorize(ramp, black=black, mid=mid, white=white))
    return column.resize((width, height), Image.Resampling.NEAREST)


def _stars(picture: Image.Image, dice: _Dice) -> None:
    pen = ImageDraw.Draw(picture, "RGBA")
    unit = min(picture.size) / 900
    for _ in range(90):
        x, y = dice.between(0, picture.width), dice.between(0, picture.height * 0.6)
        size, glow = dice.between(0.3, 1.6) * unit, round(dice.between(60, 230))
        pen.ellipse((x - size, y - size, x + size, y + size), fill=(255, 255, 240, glow))


def _sun(picture: Image.Image, dice: _Dice, palette: _Palette) -> float:
    """A disc in a wide glow, one mask for both. Answers where it stands, from 0 (left) to 1."""
    size = min(picture.size)
    radius = size * dice.between(0.05, 0.11)
    across = dice.between(0.18, 0.82)
    x, y = picture.width * across, picture.height * dice.between(0.16, 0.46)
    reach = size * 0.5
    glow = Image.radial_gradient("L").point([round(170 * max(0.0, 1 - level / 181) ** 2.2) for level in range(256)])
    mask = glow.resize((round(2 * reach),) * 2, Image.Resampling.BILINEAR)
    disc = _smooth_disc(round(2 * radius))
    corner = round(reach - radius)
    mask.paste(255, (corner, corner), disc)
    _tint(picture, _rgb(palette.light), (round(x - reach), round(y - reach)), mask)
    return across


def _tint(picture: Image.Image, colour: Colour, place: tuple[int, int], mask: Image.Image) -> None:
    """As `picture.paste(colour, place, mask)`, which takes three times as long."""
    picture.paste(Image.new("RGB", mask.size, colour), place, mask)


def _smooth_disc(size: int) -> Image.Image:
    large = Image.new("L", (size * _FINE, size * _FINE))
    ImageDraw.Draw(large).ellipse((0, 0, size * _FINE - 1, size * _FINE - 1), fill=255)
    return large.reduce(_FINE)


def _clouds(picture: Image.Image, dice: _Dice, palette: _Palette) -> None:
    """Long soft banks, painted at 192 x 128 and stretched."""
    mask = Image.new("L", (192, 128))
    pen = ImageDraw.Draw(mask)
    for _ in range(2 + dice.below(4)):
        x, y, density = dice.between(0, 192), dice.between(10, 68), round(dice.between(50, 120))
        for _ in range(7):
            left, top = x + dice.between(-34, 20), y + dice.between(-3, 3)
            pen.ellipse((left, top, left + dice.between(16, 46), top + dice.between(2, 6)), fill=density)
    soft = mask.filter(ImageFilter.GaussianBlur(2.2)).crop((0, 0, 192, 84))
    sky = soft.resize((picture.width, picture.height * 84 // 128), Image.Resampling.BILINEAR)
    _tint(picture, _mix(_rgb(palette.light), _rgb(palette.horizon), 0.35), (0, 0), sky)


def _land(picture: Image.Image, dice: _Dice, palette: _Palette, sun: float) -> None:
    """Ridges from far to near, each in mist at its foot; four scenes in ten look over water."""
    far, near, haze = _rgb(palette.far), _rgb(palette.near), _rgb(palette.horizon)
    peaks, lake = dice.chance(0.6), dice.chance(0.4)
    layers = 4 + dice.below(2)
    rocky = layers // 2 + 1 if peaks else 0
    shore = 0.66
    for number in range(layers):
        share = number / (layers - 1)
        front = number == layers - 1
        if lake and front:
            _water(picture, dice, palette, shore, sun)
        base = 0.9 if lake and front else 0.50 + (0.16 if lake else 0.36) * share
        tall = (0.20 if peaks else 0.10) * (1 - 0.55 * share)
        ridge = _peaks(dice, share) if number < rocky else _hills(dice)
        points = [(at, base - tall * rise) for at, rise in ridge]
        trees = (
            _trees(points, dice, picture.height / picture.width) if front or (number == layers - 2 and not lake) else []
        )
        colour = _mix(far, near, share**1.2)
        _ridge(picture, points, trees, (colour, _mix(colour, haze, 0.45 * (1 - share))))


def _hills(dice: _Dice) -> list[Point]:
    """Rolling ground: three waves; heights 0 to 1 over 0 to 1."""
    waves = [(dice.between(0.6, 1.6) * times, dice.between(0, 2 * pi), 1 / times) for times in (1, 2.3, 5)]
    total = sum(weight for _, _, weight in waves)
    return [
        (
            at / 96,
            0.5 + sum(weight * sin(2 * pi * often * at / 96 + phase) for often, phase, weight in waves) / total / 2,
        )
        for at in range(97)
    ]


def _peaks(dice: _Dice, share: float) -> list[Point]:
    """Mountains: midpoints displaced by half as much at each division; nearer ones (`share`) are gentler."""
    line = [
        dice.between(0, 0.6),
        dice.between(0.4, 1.2),
        dice.between(0, 0.8),
        dice.between(0.3, 1.2),
        dice.between(0, 0.6),
    ]
    swing = 0.34 - 0.2 * share
    for _ in range(5):
        between = [(a + b) / 2 + dice.between(-swing, swing) for a, b in pairwise(line)]
        line = [height for pair in zip(line, between, strict=False) for height in pair] + line[-1:]
        swing *= 0.52
    return [(number / (len(line) - 1), height) for number, height in enumerate(line)]


def _trees(points: list[Point], dice: _Dice, aspect: float) -> list[list[Point]]:
    """Conifers on a ridge: a stack of three triangles each, in clumps. `aspect` is the picture's height to its width."""
    trees: list[list[Point]] = []
    clumps = [(dice.between(0, 1), dice.between(0.05, 0.16)) for _ in range(3)]
    for middle, spread in clumps:
        for _ in range(9):
            at = min(0.999, max(0.0, middle + dice.between(-spread, spread)))
            foot = points[int(at * (len(points) - 1))][1] + 0.008
            tall = dice.between(0.035, 0.085)
            for floor, wide in ((0.0, 0.26), (0.3, 0.2), (0.55, 0.13)):
                low, high = foot - tall * floor, foot - tall * min(1.0, floor + 0.5)
                trees.append([(at - tall * wide * aspect, low), (at, high), (at + tall * wide * aspect, low)])
    return trees


def _ridge(picture: Image.Image, points: list[Point], trees: list[list[Point]], colours: tuple[Colour, Colour]) -> None:
    """Everything below the line of `points`, shaded from the first colour to the second at the bottom.

    Only the band that holds the outline is drawn fine; below it there is nothing to smooth.
    """
    width, height = picture.size
    heights = [y for _, y in points] + [y for tree in trees for _, y in tree]
    top = max(0, int(min(heights) * height) - 1)
    bottom = min(height, int(max(heights) * height) + 2)
    shade = Image.new("RGB", (1, 2))
    shade.putpixel((0, 0), colours[0])
    shade.putpixel((0, 1), colours[1])
    ground = shade.resize((1, height - top), Image.Resampling.BILINEAR).resize(
        (width, height - top), Image.Resampling.NEAREST
    )
    behind = picture.crop((0, top, width, bottom))
    band = Image.new("L", (width * _FINE, (bottom - top) * _FINE))
    pen = ImageDraw.Draw(band)

    def fine(outline: list[Point]) -> list[Point]:
        return [(x * width * _FINE, (y * height - top) * _FINE) for x, y in outline]

    for outline in ([(0, 1.5), *points, (1, 1.5)], *trees):
        pen.polygon(fine(outline), fill=255)
    picture.paste(ground, (0, top))
    picture.paste(behind, (0, top), ImageOps.invert(band.reduce(_FINE)))


def _water(picture: Image.Image, dice: _Dice, palette: _Palette, shore: float, sun: float) -> None:
    """What is above the shore mirrored below it, drawn long by a coarse resize, with the light's path on it."""
    width, height = picture.size
    edge = int(height * shore)
    size = (width, height - edge)
    mirrored = ImageOps.flip(picture.crop((0, max(0, edge - size[1]), width, edge)))
    smeared = mirrored.resize((width // 3, max(1, size[1] // 9)), Image.Resampling.BOX).resize(
        size, Image.Resampling.BILINEAR
    )
    mist = (
        Image.linear_gradient("L")
        .resize(size, Image.Resampling.BILINEAR)
        .point([90 - level // 3 for level in range(256)])
    )
    _tint(smeared, _rgb(palette.horizon), (0, 0), mist)
    picture.paste(smeared, (0, edge))
    pen = ImageDraw.Draw(picture, "RGBA")
    for _ in range(34):
        depth = dice.between(0.01, 0.75)
        x = width * (sun + dice.between(-0.09, 0.09) * (0.3 + depth))
        y, half = edge + depth * size[1], min(width, height) * dice.between(0.008, 0.05) * (0.5 + depth)
        thick = size[1] * 0.0045 * (0.4 + depth)
        pen.ellipse(
            (x - half, y - thick, x + half, y + thick), fill=(*_rgb(palette.light), round(dice.between(40, 130)))
        )


def _label(picture: Image.Image, prompt: str, seed: int) -> None:
    """A dark band at the foot: what the picture is, its seed, and the start of the prompt."""
    width, height = picture.size
    size = max(9.0, min(width, height) / 36)
    font = ImageFont.load_default(size)
    margin = round(size * 0.7)
    # The bundled font knows ASCII alone, and its box for every other letter would tell nobody anything.
    said = " ".join(normalize("NFKD", prompt[:400]).encode("ascii", "ignore").decode().split())
    lines = [f"SIMULATED  \u00b7  seed {seed}", _fitting(said, font, width - 2 * margin)]
    row = round(size * 1.35)
    top = height - row * len(lines) - margin
    pen = ImageDraw.Draw(picture, "RGBA")
    pen.rectangle((0, top, width, height), fill=(10, 12, 20, 150))
    for number, line in enumerate(lines):
        place = (margin, top + margin // 2 + number * row)
        pen.text(place, line, font=font, fill=(255, 255, 255, 255 if number == 0 else 200))


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> str:
    """The start of `text`, with an ellipsis where it is cut, that is at most `room` pixels wide."""
    if font.getlength(text) <= room:
        return text
    fits = bisect(range(len(text)), room, key=lambda end: int(font.getlength(text[:end] + "\u2026")))
    return text[: max(0, fits - 1)].rstrip() + "\u2026"
