"""A call while the engine makes it, as its thread hears of the steps."""

from collections.abc import Callable

from gateway.worker.engine import Pixels, Step, Stopped
from gateway.worker.errands import Call, Errand, partial_steps


class Running:
    """`partial` and `moved` are called in the engine's thread."""

    def __init__(
        self,
        call: Call,
        alive: Callable[[], None],
        moved: Callable[[], None],
        partial: Callable[[Errand, int, Pixels], None],
    ) -> None:
        self.call = call
        self._alive = alive
        self._moved = moved
        self._partial = partial
        self.step = 0
        self.of = call.items[0].errand.work.steps
        #: its last step runs: whoever waits for the engine may get ready
        self.last = self.of <= 1

    def on_step(self, step: Step) -> None:
        """Stops when nobody wants any of it. Of several only some, they are made with the rest and thrown away."""
        self._alive()
        if not self.call.wanted:
            raise Stopped
        self._note(step)
        self._previews(step)
        self._alive()
        self._moved()

    def _note(self, step: Step) -> None:
        self.step, self.of = step.number, step.of
        self.last = step.number >= step.of - 1 and step.pieces.stop == len(self.call.items)
        items = self.call.items[step.pieces.start : step.pieces.stop]
        for errand in {item.errand for item in items}:
            own = sum(item.errand is errand for item in items)
            # of all its images: it may want several calls
            errand.of = step.of * len(errand.work.seeds)
            errand.step = max(errand.step, errand.made * step.of + own * step.number)

    def _previews(self, step: Step) -> None:
        """Of an errand's first image: one stream shows one picture."""
        for place in step.pieces:
            item = self.call.items[place]
            due = partial_steps(step.of, item.errand.work.partials)
            if item.place == 0 and item.errand.wanted and step.number in due:
                try:
                    pixels = step.preview(place)
                except RuntimeError:
                    continue  # out of memory for the preview alone: the picture itself goes on
                self._partial(item.errand, due[step.number], pixels)
