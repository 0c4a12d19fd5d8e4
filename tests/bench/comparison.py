"""What visits to imagegate and its peers show: ratios, tables and plots."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import report
import wrk
from figures import quartiles, spread, times_of
from peers import Peer
from plots import Panel, Series, draw, over_counts, over_percentiles, over_seconds
from visits import WORKS, Visit

CLIENTS = 64
UPSTREAM = "the upstream alone"
#: Those that only show how far load generator and upstream go.
FLOORS = {"nginx", UPSTREAM}
AIMS = {"url": "4 × LiteLLM, 400/s", "b64_json": "3.5 × LiteLLM, 180/s"}
NAMES = {"url": "(a) Miss, url", "b64_json": "(b) Miss, 1 MB b64_json"}
CAPTION = (
    "One process each on 127.0.0.1, same request, wrk. imagegate alone journals each request (fsync), holds and settles its "
    "price, fetches the picture by EmpirioLabs' jobs (two calls, allowance off) and keeps it as a file of its own (fsync): "
    "ledger and disk were asked afterwards: they had every one. Others pass on what OpenAI's endpoint answers. No error came."
)

#: by the name of the peer, one of each round
Found = Mapping[str, Sequence[Visit]]
Figure = Callable[[Visit], float]


def rates(visits: Sequence[Visit], work: str, clients: int = CLIENTS) -> list[float]:
    return [each.loads[work, clients].load.rate for each in visits]


def latency(visits: Sequence[Visit], work: str, clients: int, share: float) -> list[float]:
    return [each.loads[work, clients].load.latency[share] for each in visits]


def ratios(found: Found, name: str, figure: Figure) -> list[float]:
    """imagegate's to that peer's, of the same round."""
    return [figure(ours) / figure(theirs) for ours, theirs in zip(found["imagegate"], found[name], strict=True)]


def show_loaded(work: str, found: Found, note: str) -> None:
    beside = {name: ratios(found, name, rate(work)) for name in found}
    gateways = [f"{median(beside[name]):.2f} × {name}" for name in others(found)]
    report.table(
        f"{NAMES[work]}, {CLIENTS} clients: {', '.join(gateways) or 'no peer is installed'}",
        ("", "imagegate to it (quartiles)", "requests/s", "p50", "p99", "CPU a request"),
        [
            (
                name,
                times_of(beside[name]) if name != "imagegate" else "",
                spread(rates(visits, work), "/s", digits=0),
                spread(latency(visits, work, CLIENTS, 50), "ms"),
                spread(latency(visits, work, CLIENTS, 99), "ms"),
                spread([each.loads[work, CLIENTS].cpu_each for each in visits], "ms", 1000, 2),
            )
            for name, visits in found.items()
        ],
        aim=AIMS[work],
        note=note,
        values={name: [each.plain() for each in visits] for name, visits in found.items()} if work == "url" else None,
    )


def show_alone(found: Found) -> None:
    """One client: nothing waits for anything else, so what a gateway adds is its own work."""
    floor = {work: median(latency(found[UPSTREAM], work, 1, 50)) for work in WORKS}
    added = median(latency(found["imagegate"], "url", 1, 50)) - floor["url"]
    report.table(
        f"One client: imagegate adds {added:.1f} ms at p50 as url",
        ("", *(f"{NAMES[work]}: {figure}" for work in WORKS for figure in ("p50", "added", "p99"))),
        [
            (
                name,
                *(
                    cell
                    for work in WORKS
                    for cell in (
                        spread(latency(visits, work, 1, 50), "ms", digits=2),
                        f"{median(latency(visits, work, 1, 50)) - floor[work]:.2f} ms",
                        spread(latency(visits, work, 1, 99), "ms", digits=2),
                    )
                ),
            )
            for name, visits in found.items()
        ],
        aim="5 ms",
    )


def show_start_and_memory(found: Found) -> None:
    ours = found["imagegate"]
    report.table(
        f"imagegate starts in {median(each.started for each in ours):.1f} s, holds "
        f"{median(each.idle for each in ours) / 1e6:.0f} MB idle and {max(each.most for each in ours) / 1e6:.0f} MB at most",
        ("", "start to healthy", "resident, idle", "most, url", "most, 1 MB b64_json"),
        [
            (
                name,
                spread([each.started for each in visits], "s", digits=2),
                spread([each.idle for each in visits], "MB", 1e-6, 0),
                *(
                    spread([max(size for _, size in each.memory[work]) for each in visits], "MB", 1e-6, 0)
                    for work in WORKS
                ),
            )
            for name, visits in found.items()
            if name != UPSTREAM
        ],
        aim="1.5 s, 90 MB, 200 MB",
        note="With compiled bytecode. All processes of each, summed.",
    )


def headline(found: Found) -> str:
    """For the project's page: what each does, and in brackets how many times imagegate's figure is of it."""
    names = ["imagegate", *others(found)]

    def row(what: str, figure: Figure, unit: str, scale: float = 1.0, digits: int = 0) -> str:
        cells = [f"{median(map(figure, found[name])) * scale:,.{digits}f}{unit}" for name in names]
        beside = [f" ({median(ratios(found, name, figure)):.2g} ×)" for name in names[1:]]
        return f"| {what} | " + " | ".join(cell + more for cell, more in zip(cells, ["", *beside], strict=True)) + " |"

    loaded = [row(f"{NAMES[work][4:]}: requests/s of {CLIENTS} clients", rate(work), "") for work in WORKS]
    alone = [row(f"{NAMES[work][4:]}: p50 of one client", p50(work), " ms", digits=1) for work in WORKS]
    rest = [
        row("Start to healthy", lambda each: each.started, " s", digits=1),
        row("Resident, idle", lambda each: each.idle, " MB", 1e-6),
        row("Resident, at most", lambda each: each.most, " MB", 1e-6),
    ]
    return "\n".join([f"| | {' | '.join(names)} |", f"|{' --- |' * (len(names) + 1)}", *loaded, *alone, *rest])


def others(found: Found) -> list[str]:
    return [name for name in found if name != "imagegate" and name not in FLOORS]


def rate(work: str) -> Figure:
    return lambda each: each.loads[work, CLIENTS].load.rate


def p50(work: str) -> Figure:
    return lambda each: each.loads[work, 1].load.latency[50]


def draw_plots(peers: Sequence[Peer], found: Found) -> None:
    """Floors would press gateways to the bottom where the scale is even, and are left to where it is not."""
    ours = found["imagegate"]
    clients = sorted({clients for _, clients in ours[0].loads})
    gateways = [peer for peer in peers if peer.name not in FLOORS]

    def throughput(peer: Peer, work: str) -> list[Series]:
        return [banded(peer, [(number, rates(found[peer.name], work, number)) for number in clients])]

    def tail(peer: Peer, work: str) -> list[Series]:
        shares = [share for share in wrk.PERCENTILES if share <= 99.9]
        return [banded(peer, [(share, latency(found[peer.name], work, CLIENTS, share)) for share in shares])]

    def memory(peer: Peer, work: str) -> list[Series]:
        looks = [[(second, size / 1e6) for second, size in each.memory[work]] for each in found[peer.name]]
        return [Series("" if number else peer.name, peer.colour, each, line=True) for number, each in enumerate(looks)]

    def panels(
        title: str, shown: Sequence[Peer], series: Callable[[Peer, str], list[Series]], *, log: bool
    ) -> list[Panel]:
        return [
            Panel(f"{NAMES[work]}: {title}", [one for peer in shown for one in series(peer, work)], log=log)
            for work in WORKS
        ]

    looked = (looks for peer in gateways for each in found[peer.name] for looks in each.memory.values())
    longest = max(second for looks in looked for second, _ in looks)
    medians, each = (
        f"{report.where()}; median of {len(ours)} rounds, quartiles shaded",
        f"{report.where()}; a line a round",
    )
    loaded = panels("requests/s by clients", gateways, throughput, log=False)
    draw(report.picture("throughput"), loaded, over_counts(clients), medians)
    waits = panels(f"ms by percentile, {CLIENTS} clients", peers, tail, log=True)
    draw(report.picture("latency"), waits, over_percentiles(), medians)
    draw(
        report.picture("memory"),
        panels("resident MB under load", gateways, memory, log=False),
        over_seconds(longest),
        each,
    )


def banded(peer: Peer, values: Sequence[tuple[float, Sequence[float]]]) -> Series:
    cuts = [(place, *quartiles(each)) for place, each in values]
    points = [(place, middle) for place, _, middle, _ in cuts]
    return Series(peer.name, peer.colour, points, line=True, band=[(place, low, high) for place, low, _, high in cuts])
