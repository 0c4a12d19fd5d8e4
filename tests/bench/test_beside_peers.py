"""A cache miss, as URL and as a megabyte of base64: imagegate beside the gateways that its users would pick instead."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
import report
import wrk
from comparison import CAPTION, CLIENTS, FLOORS, draw_plots, headline, show_alone, show_loaded, show_start_and_memory
from figures import LONG, times
from peers import Peer, all_peers
from visits import WORKS, Plan, Visit, visit

ROUNDS = times(2, 5)
#: Seconds at each number of clients: many times what the slowest answer takes, or what wrk cuts off at the end would count.
PLAN: Plan = (
    {"url": {1: 5, 4: 5, 16: 5, 64: 15}, "b64_json": {1: 5, 4: 5, 16: 8, 64: 25}}
    if LONG
    else {"url": {1: 1, 8: 2, 64: 4}, "b64_json": {1: 2, 8: 2, 64: 8}}
)
#: Floors need less: they are steady.
FLOORS_PLAN: Plan = {work: dict.fromkeys(plan, times(1, 3)) for work, plan in PLAN.items()}

pytestmark = [wrk.needed, pytest.mark.timeout(5400)]


def test_misses_beside_peers() -> None:
    every = all_peers()
    peers = [peer for peer in every if not peer.missing]
    assert "imagegate" in {peer.name for peer in peers}
    found: dict[str, list[Visit]] = {peer.name: [] for peer in peers}
    with report.progress("Misses beside peers", ROUNDS * len(peers)) as done:
        for number in range(ROUNDS):
            for peer in peers if number % 2 == 0 else reversed(peers):  # in turns: what else runs strikes all
                one = turn(peer)
                found[peer.name].append(one)
                rates = ", ".join(f"{name} {one.loads[name, CLIENTS].load.rate:,.0f}/s" for name in WORKS)
                done(f"round {number + 1} of {ROUNDS}, {peer.name}: {rates}")
    for peer in peers:
        if peer.version:
            report.version(f"{peer.name} {peer.version}")
    absent = "".join(f" {peer.name} was not measured: it {peer.missing}." for peer in every if peer.missing)
    draw_plots(peers, found)
    for work in WORKS:
        show_loaded(work, found, CAPTION + absent)
    show_alone(found)
    show_start_and_memory(found)
    report.headline(headline(found))


def turn(peer: Peer) -> Visit:
    """On the disk of the repository: /tmp may be memory, where fsync costs nothing."""
    report.FOLDER.mkdir(parents=True, exist_ok=True)
    directory = Path(mkdtemp(dir=report.FOLDER, prefix="turn-"))
    try:
        return visit(peer, directory, FLOORS_PLAN if peer.name in FLOORS else PLAN)
    finally:
        shutil.rmtree(directory)
