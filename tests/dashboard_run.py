"""A run after which every panel of the dashboards that can has something to show."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixed_load import Tally, drive
from processes import eventually, manage
from stack import Stack, stack

#: Each of a few in a hundred: what fails, and what is lost on the way and may have been bought. The price is not the policy's.
SIMULATOR = (
    *("--median", "0.7", "--sigma", "0.4", "--rpm", "3000", "--failure-rate", "0.02", "--price", "0.0090"),
    *(
        "--fault",
        "submit_503=0.02",
        "--fault",
        "submit_lost=0.04",
        "--fault",
        "poll_500=0.03",
        "--fault",
        "cdn_500=0.02",
    ),
)
#: Beside those of the stack: one of which much is used up, and one that ends tonight.
NARROW_BUDGETS = (("team:gamma", "0.01/week"), ("team:alpha", "40/month", "0.5/day"))
_KEYS_WITH_A_DAY = 'count(imagegate_budget_limit_dollars{scope="key", window="day"})'
_STEP = 0.5


@contextmanager
def dashboard_run(directory: Path, seconds: float, rate: float) -> Iterator[tuple[Stack, Tally]]:
    """After so many seconds of so many calls a second, and once both replicas have looked up what no request tells."""
    with stack(directory, SIMULATOR) as running:
        for scope, *budgets in NARROW_BUDGETS:
            manage(running.cluster.one, "budgets", "set", scope, *budgets)
        tally = asyncio.run(drive(running.urls, running.keys, seconds=seconds, rate=rate))
        told = f"{_KEYS_WITH_A_DAY} == 2 * {len(running.urls)}"
        eventually(lambda: running.prometheus.query(told), 40, _STEP)
        yield running, tally
