"""The watch over a real store: what it looks up, and how late the loop wakes it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import HandClock
from samples import NOON, SECOND, a_job

from gateway.ports import Key
from gateway.stores.sqlite.store import SqliteStore, open_store
from gateway.telemetry.logs import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.vocabulary import Vocabulary
from gateway.telemetry.watch import Watch

#: naps between two looks
NAPS = 30


class EnoughSeen(Exception):
    pass


class Lookout:
    """Watches for some naps; each lasts as long as it was asked for and the seconds that `late` says."""

    def __init__(self, store: SqliteStore) -> None:
        self.clock = HandClock()
        self.metrics = Metrics("0")
        self.log = io.StringIO()
        recorder = Recorder(
            self.metrics, Log(self.log, "json", "info", self.clock.now), Vocabulary("0", (), (), (), ())
        )
        self.watch = Watch(store, store, store, recorder, self.clock)

    async def see(self, late: Iterator[float]) -> None:
        async def rest(seconds: float) -> None:
            try:
                await self.clock.advance(seconds + next(late))
            except StopIteration:
                raise EnoughSeen from None

        with pytest.raises(EnoughSeen):
            await self.watch.run(rest)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"imagegate_{name}", labels)


async def test_how_late_a_nap_ends_is_the_lag_of_the_loop(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        lookout = Lookout(store)
        await lookout.see(iter([0.0, 0.2, 0.05]))
    assert lookout.value("event_loop_lag_seconds_sum") == pytest.approx(0.25)
    assert lookout.value("event_loop_lag_seconds_count") == 3


async def test_each_look_tells_the_age_of_the_oldest_submit(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        lookout = Lookout(store)
        await lookout.see(iter([]))
        assert lookout.value("oldest_uncollected_job_age_seconds") == 0
        for number in (1, 2):
            await store.reserve(a_job(number))
            await store.submitting(f"j{number}.0", NOON - number * SECOND, "")
        await lookout.see(iter([0.0] * NAPS))
    assert lookout.value("oldest_uncollected_job_age_seconds") == 2 + 15


async def test_drift_is_an_alarm(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        await store.reserve(a_job(1))
        lookout = Lookout(store)
        await lookout.see(iter([]))
        assert (lookout.value("ledger_drift_dollars"), lookout.log.getvalue()) == (0, "")
        await store._writer.execute(
            "test", "UPDATE usage SET spent = 1000000 WHERE scope = 'org' AND window = 'day'", ()
        )
        await lookout.see(iter([]))
    assert lookout.value("ledger_drift_dollars") == 1
    line = json.loads(lookout.log.getvalue())
    assert (line["level"], line["event"], line["microdollars"]) == ("error", "ledger_drift", 1_000_000)


async def test_a_key_that_another_replica_has_made_begins_at_zero(tmp_path: Path) -> None:
    async with open_store(tmp_path / "gateway.db") as store:
        lookout = Lookout(store)
        await lookout.see(iter([]))
        await store.add_key(Key("aaaaaaaaaaaa", "red", "laptop", b"digest", NOON))
        labels = {"team": "red", "key": "aaaaaaaaaaaa"}
        assert lookout.value("key_cost_dollars_total", **labels) is None
        await lookout.see(iter([0.0] * NAPS))
    assert lookout.value("key_cost_dollars_total", **labels) == 0
