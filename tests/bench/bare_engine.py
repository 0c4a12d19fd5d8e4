"""`bare_engine.py SECONDS SIDE BATCH IMAGES CODEC`: the simulated engine by itself, and the encoder by itself.

Prints ms an image of the one and of the other. This is all that a script around a model would do.
"""

import sys
import time
from statistics import median

from PIL import Image

from gateway.core.encode import encode
from gateway.core.order import Codec
from gateway.pipeline.system_clock import SystemClock
from gateway.worker.engine import Abilities, Batch, Piece, Pixels, Shape
from gateway.worker.simulated_engine import SimulatedEngine

STEPS = 4


def run(seconds: float, side: int, batch: int, images: int, codec: Codec) -> tuple[float, float]:
    """Seconds of engine an image, by the clock on the wall; and of an encoder, at the median."""
    abilities = Abilities("m", "", "simulated", "simulated", side * side, most_references=0, masks=False)
    engine = SimulatedEngine(SystemClock(), abilities, seconds=seconds / STEPS)
    shape, numbers = Shape(side, side, STEPS, 1.0, 512), range(batch)
    made: list[Pixels] = []

    def call(start: int) -> None:
        pieces = tuple(Piece(f"a lighthouse {start + number}", start + number) for number in numbers)
        outcomes = engine.make(Batch(shape, pieces), lambda _step: None).outcomes
        made[:] = [each for each in outcomes if isinstance(each, Pixels)]
        assert len(made) == batch

    call(0)
    began = time.perf_counter()
    for start in range(batch, batch + images, batch):
        call(start)
    engine_took = (time.perf_counter() - began) / -(-images // batch) / batch
    encoded = []
    for _ in range(10):
        began = time.perf_counter()
        encode(Image.frombuffer("RGB", (made[0].width, made[0].height), made[0].data), codec)
        encoded.append(time.perf_counter() - began)
    return engine_took, median(encoded)


if __name__ == "__main__":
    took = run(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])  # type: ignore[arg-type]
    print(*(f"{each * 1000:.3f}" for each in took))  # noqa: T201
