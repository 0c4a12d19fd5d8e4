"""The whole queue at one look, and who is said to have come, left or fallen silent by it. Over both stores."""

import io
import json
from dataclasses import replace

import pytest
from fakes import HandClock
from queues import LINE, SMALL, Rig, a_worker

from gateway.ports import Overview
from gateway.ports.queue import PRESENCE, Depth
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.vocabulary import Vocabulary
from gateway.telemetry.worker_watch import WorkerWatch


async def test_an_empty_queue_has_no_lines_and_no_workers(rig: Rig) -> None:
    assert await rig.queue.overview() == Overview({}, [])


async def test_each_line_has_its_depth_as_long_as_something_is_in_it(rig: Rig) -> None:
    await rig.put("a", wanted=60)
    rig.skip(3)
    await rig.put("b", team="blue")
    await rig.put("c", order=replace(SMALL, model='o:"ther@'), wanted=1)
    other = 'o:"ther@@fast'
    lines = (await rig.queue.overview()).lines
    assert {line: (depth.waiting, depth.claimed) for line, depth in lines.items()} == {LINE: (2, 0), other: (1, 0)}
    assert 3000 <= (lines[LINE].oldest_age or 0) < 4000, "by the store's clock, since it came"
    assert 0 <= (lines[other].oldest_age or 0) < 1000
    first, claim = await rig.begin()
    await rig.take()
    lines = (await rig.queue.overview()).lines
    assert (lines[LINE], lines[other].waiting) == (Depth(0, None, 2), 1)
    rig.skip(2)
    assert await rig.queue.finish(first, claim, [], 1.0)
    assert (await rig.queue.overview()).lines == {LINE: Depth(0, None, 1)}, "one is late, and one has ended"
    rig.skip(20)
    depth = (await rig.queue.overview()).lines[LINE]
    assert (depth.waiting, depth.claimed) == (1, 0), "the lease has ended"


async def test_workers_are_told_with_what_they_have_and_how_long_they_live(rig: Rig) -> None:
    await rig.put("a", "b", "c")
    await rig.queue.present(a_worker("gpu-2"))
    rig.skip(15)
    await rig.queue.present(a_worker("gpu-1"))
    await rig.take("gpu-2")
    await rig.take("gpu-2")
    one, two = (await rig.queue.overview()).workers
    assert (one.presence, one.claimed, two.presence, two.claimed) == (a_worker("gpu-1"), 0, a_worker("gpu-2"), 2)
    assert PRESENCE - 1000 < one.left <= PRESENCE
    assert PRESENCE - 16_000 < two.left <= PRESENCE - 15_000
    rig.skip(6)
    assert [each.presence.worker for each in (await rig.queue.overview()).workers] == ["gpu-1"]
    await rig.queue.absent("gpu-1")
    assert (await rig.queue.overview()).workers == []


class Replica:
    """A watch over the rig's queue, by its own clock, which goes as the store's does and tells another time."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.clock = HandClock()
        self.stream = io.StringIO()
        self.metrics = Metrics("0")
        log = Log(self.stream, "json", "info", self.clock.now)
        self.recorder = Recorder(self.metrics, log, Vocabulary("0", (), (), (a_worker().model,), ()))
        self.watch = WorkerWatch(rig.queue, self.recorder, self.clock)

    def said(self) -> list[tuple[str, str, str, str]]:
        """Each line's event, its worker, GPU and level."""
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [(line["event"], line["worker"], line["gpu"], line["level"]) for line in lines]

    def count(self, state: str) -> float | None:
        labels = {"model": a_worker().model, "state": state}
        return self.metrics.registry.get_sample_value("imagegate_workers", labels)


async def five_seconds(rig: Rig, *replicas: Replica) -> None:
    rig.skip(5)
    for each in replicas:
        await each.clock.advance(5)
        await each.watch.look()


async def test_whichever_replica_heard_the_goodbye_each_knows_a_silence_from_it(rig: Rig) -> None:
    here, there = Replica(rig), Replica(rig)
    await rig.queue.present(a_worker("gpu-1"))
    await rig.queue.present(a_worker("gpu-2"))
    await five_seconds(rig, here, there)
    await rig.queue.absent("gpu-2")
    for _ in range(4):
        await five_seconds(rig, here, there)
    for each in (here, there):
        assert each.said() == [
            ("worker_came", "gpu-1", "H200", "info"),
            ("worker_came", "gpu-2", "H200", "info"),
            ("worker_left", "gpu-2", "H200", "info"),
            ("worker_missed", "gpu-1", "H200", "warning"),
        ]
        assert [each.count(state) for state in ("idle", "busy", "draining", "missing")] == [0, 0, 0, 1]


async def test_what_waits_at_any_engine_is_its_models(rig: Rig) -> None:
    here = Replica(rig)
    for engine in ("slow", "fast"):
        await rig.queue.enqueue(replace(rig.piece(engine, wanted=600), line=f"{SMALL.model}@{engine}"))
        rig.skip(2)
    await here.watch.look()
    labels = {"model": SMALL.model}
    assert here.metrics.registry.get_sample_value("imagegate_queue_depth", labels) == 2
    age = here.metrics.registry.get_sample_value("imagegate_queue_oldest_age_seconds", labels)
    assert age == pytest.approx(4, abs=0.9)
