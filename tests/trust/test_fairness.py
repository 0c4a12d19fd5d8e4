"""One team's long queue is not another team's: a single job starts within two calls of the engine."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from books import tell
from gpus import OWN, Customers, shop, until, wishes

LONG = os.environ.get("TRUST", "short") == "long"
JOBS = 500 if LONG else 100
#: Single jobs of another team, one after another.
SINGLES = 10 if LONG else 3
BATCH = 4


@pytest.mark.timeout(300)
async def test_a_single_job_of_another_team_is_soon_made(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with shop(tmp_path, OWN) as running:
        gpu = running.gpu("a", seconds=0.05, batch=BATCH)
        many = Customers([running.one.url], running.key("many"), detached=1.0)
        few = Customers([running.one.url], running.key("few"))
        before: list[int] = []
        async with many.session() as of_many, few.session() as of_few, asyncio.TaskGroup() as group:
            buying = [group.create_task(many.buy(of_many, *wish)) for wish in wishes(JOBS).items()]
            await until(lambda: len(gpu.calls()) >= 2 and many.heard["202"] == JOBS)
            for number in range(SINGLES):
                asked = time.monotonic()
                await few.buy(of_few, f"single {number}", number)
                calls = [call for call in gpu.calls() if call.at > asked]
                before.append(next(at for at, call in enumerate(calls) if f"single {number}" in call.prompts))
            left = JOBS - many.done
            for task in buying:
                task.cancel()
    tell(
        record_property,
        f"single jobs beside {JOBS} of another team",
        {"most calls before one's own": max(before), "of the others still to make": left},
    )
    assert few.wrong({f"single {number}": number for number in range(SINGLES)}) == []
    assert max(before) <= 2
    assert left > JOBS / 3
