"""Memory: idle, under misses of a megabyte as base64, and whether it grows in minutes of a mixed load."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import pytest
import wrk
from figures import show, times
from floors import immediate_upstream
from memory import Held, Moment, growth, sampled_memory, watched
from mixed_load import Keys, drive
from plots import Panel, Series, draw
from processes import ADMIN_KEY, Process, administer, gateway, new_key, simulator
from report import picture

PATH = "/v1/images/generations"
#: without a seed, so that no two are one picture
WISH = {"prompt": "a lighthouse", "size": "512x512", "format": "png", "response_format": "b64_json"}
CLIENTS = 64
ROUNDS = times(2, 4)
SECONDS = times(8, 30)
#: of the mixed load, and those of them in which caches fill and the allocator finds its size
LOAD = times(120, 600)
WARM = times(80, 240)
CALLS_A_SECOND = 40.0
REST = 3.0
#: The store's own clean-up and a job's last poll come in seconds: what ends meanwhile is none that leaks.
_LINGER = 8.0


@wrk.needed
@pytest.mark.timeout(300)
def test_memory_under_misses_of_a_megabyte(tmp_path: Path) -> None:
    with immediate_upstream(tmp_path, "noise") as upstream, gateway(tmp_path, upstream.url) as process:
        key = {"authorization": f"Bearer {new_key(process, '1000000/total')}"}
        script = wrk.write_script(tmp_path / "ask.lua", WISH, key)
        idle = at_rest(process)
        rounds = []
        for _ in range(ROUNDS):
            with sampled_memory(process, 0.1) as moments:
                load = wrk.load(process.url + PATH, script, CLIENTS, SECONDS)
            rounds.append((load.rate, moments))
        after = at_rest(process)
    assert all(rate > 1 for rate, _ in rounds)
    most = max(moment.resident for _, moments in rounds for moment in moments)
    show(
        f"Memory under {CLIENTS} clients' misses of 1 MB as base64: {mb(most)} MB at most (aim: 200), "
        f"{most / idle.resident:.1f} times the {mb(idle.resident)} MB of an idle gateway",
        ("", "resident, median", "most", "its own, median", "misses a second"),
        [
            ("idle", mb(idle.resident), "", mb(idle.own), ""),
            *(
                (
                    f"round {number}",
                    mb(median(moment.resident for moment in moments)),
                    mb(max(moment.resident for moment in moments)),
                    mb(median(moment.own for moment in moments)),
                    f"{rate:.0f}",
                )
                for number, (rate, moments) in enumerate(rounds, 1)
            ),
            (f"{REST:g} s later", mb(after.resident), "", mb(after.own), ""),
        ],
    )


@pytest.mark.timeout(LOAD + 120)
def test_growth_in_a_mixed_load(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--median", "0.5", "--sigma", "0.3") as upstream,
        gateway(tmp_path, upstream.url, started=False, IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process,
    ):
        ask = watched(process)
        process.start()
        keys = rich_keys(process)
        before = ask()
        with sampled_memory(process, 0.5) as moments:
            tally = asyncio.run(drive([process.url], keys, seconds=LOAD, clients=CLIENTS, rate=CALLS_A_SECOND))
            loaded = len(moments)
            time.sleep(_LINGER)
        after = ask()
    warm = [(each.seconds, float(each.resident)) for each in moments[:loaded] if each.seconds >= WARM]
    grown = growth(warm)
    plot(moments, warm)
    calls_a_minute = tally.answered / tally.elapsed * 60
    show(
        f"Growth in {LOAD} s of mixed load: {grown.per_second * 60 / 1e6:+.2f} ± {grown.error * 60 / 1e6:.2f} MB a minute "
        f"after the first {WARM} s (aim: 0), at {calls_a_minute:,.0f} calls a minute",
        ("", "resident", "its own", "whole tree", "children", "descriptors", "threads", "tasks", "objects"),
        [
            row("before", moments[0], before),
            row(f"after {WARM} s", next(each for each in moments if each.seconds >= WARM)),
            row(f"after {LOAD} s", moments[loaded - 1]),
            row(f"{_LINGER:g} s later", moments[-1], after),
        ],
    )
    show(
        "What there is more of afterwards, by type",
        ("", "before", "after"),
        [(name, before.objects[name], after.objects[name]) for name, _ in more(before, after).most_common(12)],
    )
    assert tally.broken == 0
    assert tally.answered > LOAD * CALLS_A_SECOND / 4


def rich_keys(process: Process) -> Keys:
    """As `Keys.made_by`, for a load that is ten times as long."""

    def key(team: str, budget: str, **terms: object) -> str:
        secret: str = administer(process, "keys", {"team": team, "budgets": [budget], **terms})["secret"]
        return secret

    good = [key(team, "100000/month") for team in ("alpha", "beta")]
    return Keys(good, broke=key("gamma", "0.0085/day"), limited=key("delta", "100/day", requests_per_minute=2))


def at_rest(process: Process) -> Moment:
    time.sleep(REST)
    with sampled_memory(process, REST) as moments:
        return moments[0]


def row(name: str, moment: Moment, held: Held | None = None) -> Sequence[object]:
    figures = [mb(moment.resident), mb(moment.own), mb(moment.tree), moment.children]
    counted = [held.descriptors, held.threads, held.tasks, held.objects.total()] if held else [""] * 4
    return [name, *figures, *counted]


def more(before: Held, after: Held) -> Counter[str]:
    return after.objects - before.objects


def plot(moments: Sequence[Moment], warm: Sequence[tuple[float, float]]) -> None:
    def curve(name: str, colour: str, which: str) -> Series:
        points = [(each.seconds, getattr(each, which) / 1e6) for each in moments]
        return Series(name, colour, points, line=True)

    curves = [curve("whole tree", "#b8b2a7", "tree"), curve("resident", "#2b6cb0", "resident")]
    panel = Panel("MB", [*curves, curve("its own", "#2f855a", "own")], shaded=(warm[0][0], warm[-1][0]))
    draw(picture("memory"), [panel], moments[-1].seconds)


def mb(size: float) -> str:
    return f"{size / 1e6:.1f}"
