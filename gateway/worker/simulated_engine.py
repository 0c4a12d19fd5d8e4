"""An engine without a model: landscapes that follow from prompt and seed, and anything that can go wrong, on demand."""

import asyncio
from collections.abc import Iterable
from typing import Literal

from PIL import Image, ImageFilter, ImageOps

from gateway.core.sample_edit import draw_edit
from gateway.core.sample_picture import draw
from gateway.core.worker_messages import Memory
from gateway.ports import Clock
from gateway.worker.engine import (
    Abilities,
    Batch,
    Engine,
    EngineLost,
    Failure,
    FailureKind,
    Made,
    OnStep,
    Piece,
    Pixels,
    Shape,
    Step,
)

#: nan: the last piece of a batch comes out as no picture. dead: the engine is lost. Any other: so do all its pieces fail.
Fault = FailureKind | Literal["nan", "dead"]

#: Bytes of a GPU that is none: of the model, of each image in a call, and in all.
_MODEL, _IMAGE, _MEMORY = 8 * 2**30, 2**29, 24 * 2**30
#: Blur of a preview in shares of the shorter side, for each step that is still missing.
_VEIL = 0.02


class SimulatedEngine(Engine):
    """`seconds` of the clock for each step of each piece. `faults` befall one call of `make` each, in order; None spares it."""

    def __init__(
        self, clock: Clock, abilities: Abilities, *, seconds: float = 0.0, faults: Iterable[Fault | None] = ()
    ) -> None:
        self._clock = clock
        self._abilities = abilities
        self._seconds = seconds
        self._faults = iter(faults)
        self._used = self._reserved = _MODEL

    @property
    def abilities(self) -> Abilities:
        return self._abilities

    def warm_up(self, shapes: tuple[Shape, ...]) -> None:
        """There is nothing cold here, and no fault is spent on it."""
        for shape in shapes:
            refusal = self._abilities.refusal(Batch(shape, (Piece("", 0),)))
            if refusal is not None:
                raise EngineLost(refusal.message)

    def make(self, batch: Batch, on_step: OnStep) -> Made:
        began = self._clock.monotonic()
        self._used = min(_MEMORY, _MODEL + _IMAGE * len(batch.pieces))
        self._reserved = max(self._reserved, self._used)
        fault = next(self._faults, None)
        refusal = self._abilities.refusal(batch)
        if fault == "dead":
            raise EngineLost("simulated: the GPU fell off the bus")
        if fault is not None and fault != "nan":
            refusal = refusal or Failure(fault, f"simulated: {fault}")
        if refusal is not None:
            gave_out = int(fault in {"oom", "too_large"})
            return Made((refusal,) * len(batch.pieces), self._clock.monotonic() - began, gave_out)
        drawn = _Drawn(batch)
        for number in range(1, batch.shape.steps + 1):
            self._pass(self._seconds * len(batch.pieces))
            on_step(Step(number, batch.shape.steps, range(len(batch.pieces)), drawn.at(number)))
        outcomes: list[Pixels | Failure] = [_pixels(drawn.picture(place)) for place in range(len(batch.pieces))]
        if fault == "nan":
            outcomes[-1] = Failure("lost", "simulated: not a number")
        return Made(tuple(outcomes), self._clock.monotonic() - began)

    def memory(self) -> Memory:
        """Made up, so that whoever looks at a dashboard without a GPU sees what it would show."""
        return Memory(used=self._used, reserved=self._reserved, total=_MEMORY)

    def _pass(self, seconds: float) -> None:
        """The clock sleeps on an event loop, and the engine's thread has none of its own."""
        if seconds > 0:
            asyncio.run(self._clock.sleep(seconds))


class _Drawn:
    """The pictures of a batch, each drawn when it is first looked at."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._pictures: dict[int, Image.Image] = {}

    def picture(self, place: int) -> Image.Image:
        if place not in self._pictures:
            self._pictures[place] = _draw(self._batch, self._batch.pieces[place])
        return self._pictures[place]

    def at(self, number: int) -> "_Preview":
        return _Preview(self, self._batch.shape.steps - number)


class _Preview:
    """The finished picture through a veil that thins with each step, as an estimate of the result does."""

    def __init__(self, drawn: _Drawn, missing: int) -> None:
        self._drawn = drawn
        self._missing = missing

    def __call__(self, place: int) -> Pixels:
        picture = self._drawn.picture(place)
        if self._missing:
            picture = picture.filter(ImageFilter.BoxBlur(min(picture.size) * _VEIL * self._missing))
        return _pixels(picture)


def _draw(batch: Batch, piece: Piece) -> Image.Image:
    """References hang in it, framed; under a mask the scene stands where the reference was to be painted anew."""
    size = (batch.shape.width, batch.shape.height)
    if batch.mask is not None:
        scene, kept = draw(piece.prompt, piece.seed, *size), ImageOps.fit(batch.references[0], size)
        return Image.composite(scene, kept, ImageOps.fit(batch.mask, size, Image.Resampling.NEAREST))
    if batch.references:
        return draw_edit(piece.prompt, piece.seed, *size, batch.references)
    return draw(piece.prompt, piece.seed, *size)


def _pixels(picture: Image.Image) -> Pixels:
    return Pixels(picture.tobytes(), *picture.size)
