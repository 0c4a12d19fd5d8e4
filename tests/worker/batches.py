"""Batches for engines, and what tests want to know of the answers."""

from itertools import count

from PIL import Image

from gateway.worker.engine import Batch, Engine, Failure, Made, Piece, Pixels, Shape, Step, Stopped


def shape(width: int = 64, height: int = 96, *, steps: int = 4, guidance: float = 1.0, length: int = 512) -> Shape:
    return Shape(width, height, steps, guidance, length)


def batch(*pieces: tuple[str, int], of: Shape | None = None, references: tuple[Image.Image, ...] = ()) -> Batch:
    return Batch(of or shape(), tuple(Piece(prompt, seed) for prompt, seed in pieces), references)


def unheard(_step: Step) -> None:
    """For who does not listen."""


def pictures(made: Made) -> list[Pixels]:
    assert all(isinstance(outcome, Pixels) for outcome in made.outcomes), made.outcomes
    return [outcome for outcome in made.outcomes if isinstance(outcome, Pixels)]


def failures(made: Made) -> list[str | None]:
    """The kind of each failure, None for a picture."""
    return [outcome.kind if isinstance(outcome, Failure) else None for outcome in made.outcomes]


def image(pixels: Pixels) -> Image.Image:
    return Image.frombuffer("RGB", (pixels.width, pixels.height), pixels.data)


def alone(engine: Engine, prompt: str, seed: int, of: Shape | None = None) -> Pixels:
    (made,) = pictures(engine.make(batch((prompt, seed), of=of), unheard))
    return made


def levels_apart(one: bytes, other: bytes) -> int:
    """The largest difference of a channel."""
    return max(abs(here - there) for here, there in zip(one, other, strict=True))


class StopAfter:
    """Hears steps, and lets go after so many."""

    def __init__(self, steps: int) -> None:
        self.heard = 0
        self._numbers = count(1)
        self._steps = steps

    def __call__(self, step: Step) -> None:
        self.heard += 1
        if next(self._numbers) >= self._steps:
            raise Stopped


def gradient(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")
