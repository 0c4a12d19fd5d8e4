"""FLUX.2 Klein, a tiny one, through the agent: what a gateway would be sent by a real worker."""

from pathlib import Path

import pytest
from agent_stand import working
from batches import alone, gradient, image, shape
from scripted_gateway import scripted_gateway, work

from gateway.core.encode import encode
from gateway.ports import Clock
from gateway.worker.engine import Engine

pytest_plugins = ["klein_stand"]
pytestmark = pytest.mark.torch
engines = pytest.importorskip("gateway.worker.diffusers_engine", reason="the extra `worker` is not installed")


async def test_pictures_edits_masks_and_partials_of_a_real_model(tiny: Path, klein: Engine) -> None:
    def opened(clock: Clock) -> Engine:
        engine: Engine = engines.open_engine(clock, str(tiny), model="m")
        return engine

    kept = gradient(64, 96)
    files = {"one.png": encode(kept, "png"), "mask.png": encode(kept.convert("L"), "png")}
    one, mask = "/worker/v1/references/one.png", "/worker/v1/references/mask.png"
    async with scripted_gateway(files=files) as gateway, working(gateway, opened) as here:
        gateway.give(work("a", 7, width=64, height=96, steps=4, partials=2))
        gateway.give(work("edit", 7, 8, width=64, height=96, operation="edit", references=(one,)))
        gateway.give(work("mask", 7, width=64, height=96, operation="edit", references=(one,), mask=mask))
        gateway.give(work("odd", 7, width=70, height=64))
        await gateway.until(lambda: len(gateway.finishes) == 3 and gateway.fails, 60)
        assert await here.drained() == 0
    assert gateway.pictures("a")[0].tobytes() == image(alone(klein, "a red fox", 7, shape(64, 96))).tobytes()
    assert sorted(gateway.partials) == [("a", 0), ("a", 1)]
    assert len({picture.name for finish in gateway.finishes.values() for picture in finish.pictures}) == 4
    assert gateway.fails["odd"].failure == "too_large"
    assert gateway.presences[0].engine == "diffusers"
