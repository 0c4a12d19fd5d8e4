"""`imagegate worker --engine simulated`, whose engine writes each of its calls to a file as it begins it, and dies of a
poisonous prompt as a process dies of a defect in a driver.

The first argument is that file, the second a number that is added to every seed: by its pictures it is told from others.
"""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from gateway.cli import worker
from gateway.worker.engine import Batch, Made, OnStep
from gateway.worker.simulated_engine import SimulatedEngine

POISON = "poison"


class Recorded(SimulatedEngine):
    record: Path
    shift: int

    def make(self, batch: Batch, on_step: OnStep) -> Made:
        prompts = [piece.prompt for piece in batch.pieces]
        with self.record.open("a") as file:
            file.write(json.dumps({"at": time.monotonic(), "prompts": prompts}) + "\n")
        if any(POISON in prompt for prompt in prompts):
            os.kill(os.getpid(), signal.SIGKILL)
        shifted = tuple(replace(piece, seed=piece.seed + self.shift) for piece in batch.pieces)
        return super().make(replace(batch, pieces=shifted), on_step)


if __name__ == "__main__":
    Recorded.record, Recorded.shift = Path(sys.argv[1]), int(sys.argv[2])
    vars(worker)["SimulatedEngine"] = Recorded
    worker.worker(sys.argv[3:], prog_name="imagegate worker")
