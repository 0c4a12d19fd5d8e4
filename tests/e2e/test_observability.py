"""What an operator sees of a running gateway: each request once in the metrics and in the log, and the store's own times."""

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gateway.settings import Settings, read
from gateway.wiring import running


def settings(tmp_path: Path) -> Settings:
    return read({"IMAGEGATE_DATA": str(tmp_path / "data"), "IMAGEGATE_PORT": "0"}, tmp_path)


async def scrape(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/metrics")).text
    return {
        (sample.name.removeprefix("imagegate_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**values: str) -> frozenset[tuple[str, str]]:
    return frozenset(values.items())


async def test_the_store_is_timed_and_a_new_key_begins_at_zero(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as gateway:
        key, _ = await gateway.administration.create_key("red", "", [])
        series = await scrape(gateway.url)
    assert series["store_operation_duration_seconds_count", labels(op="add_key")] == 1
    assert 0 < series["store_operation_duration_seconds_sum", labels(op="add_key")] < 10
    assert series["store_errors_total", labels(op="add_key")] == 0
    assert series["key_cost_dollars_total", labels(team="red", key=key.id)] == 0
