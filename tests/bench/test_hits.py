"""(c) Hits of the cache. Peers keep no pictures: beside a bare Litestar handler, and nginx with the very same bytes."""

import json
import shutil
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import pytest
import report
import wrk
from figures import spread, times, times_of
from floors import bare_app, immediate_upstream, nginx
from peers import MODEL, PATH, Stand
from processes import Process, eventually, gateway, manage, new_key
from usage import resident, rest
from visits import Loaded, measure

CLIENTS = 64
ROUNDS = times(2, 5)
SECONDS = times(3, 10)
WISH = {"model": MODEL, "prompt": "a lighthouse", "seed": 7, "size": "512x512", "output_format": "png"}
NOTE = "Each hit is journalled as a job and counted. No error came, and nothing was bought but the first."

pytestmark = [
    wrk.needed,
    pytest.mark.skipif(
        shutil.which("nginx") is None, reason="nginx is not installed (Debian: apt-get install nginx-light)"
    ),
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("response_format", "aim"), [("url", 3000), ("b64_json", 1000)])
def test_hits(tmp_path: Path, response_format: str, aim: int) -> None:
    ask = WISH | {"response_format": response_format}
    with (
        immediate_upstream(tmp_path, "noise") as upstream,
        gateway(tmp_path, upstream.url) as process,
        bare_app(tmp_path) as handler,
    ):
        hits = Stand(process, process.url + PATH, headers={"authorization": f"Bearer {new_key(process, '1000/total')}"})
        answer = answered_from_cache(hits, ask)
        with nginx(tmp_path, answer, sendfile=False) as copying, nginx(tmp_path, answer, sendfile=True) as sending:
            stands = {"imagegate": hits, "nginx, the same bytes": Stand(copying, copying.url + PATH)}
            if response_format == "url":  # the handler has no picture to answer
                stands["a bare Litestar handler"] = Stand(handler, handler.url + PATH)
            else:
                stands["nginx, sendfile"] = Stand(sending, sending.url + PATH)
            memory = [resident(process)]
            loads = in_turns(stands, tmp_path, ask, memory)
            answered = 1 + sum(each.load.requests for each in loads["imagegate"])
            verify_journalled(process, answered)
    show(response_format, aim, len(answer), loads, memory)


def verify_journalled(process: Process, answered: int) -> None:
    """What was answered (and what wrk left as it ended) is in the store, a moment later; nothing was bought but the first."""

    def written() -> int:
        hits: int = manage(process, "cache", "stats")["hits"]
        return hits if hits >= answered else 0

    hits = eventually(written, patience=60, pause=0.5)
    assert hits <= answered + ROUNDS * CLIENTS
    assert manage(process, "cache", "stats")["saved"]["total"]["images"] >= hits
    assert manage(process, "spend")["total"]["images"] == 1


def show(
    response_format: str, aim: int, size: int, loads: Mapping[str, Sequence[Loaded]], memory: Sequence[int]
) -> None:
    rates = {name: [each.load.rate for each in several] for name, several in loads.items()}
    ours = rates["imagegate"]
    beside = {name: [own / other for own, other in zip(ours, each, strict=True)] for name, each in rates.items()}
    ratios = ", ".join(f"{median(each):.2g} × {name}" for name, each in beside.items() if name != "imagegate")
    report.table(
        f"(c) Hit, {response_format} of {size:,} bytes, {CLIENTS} clients: {ratios}",
        ("", "imagegate to it (quartiles)", "requests/s", "p50", "p99", "CPU a request"),
        [
            (
                name,
                times_of(beside[name]) if name != "imagegate" else "",
                spread(rates[name], "/s", digits=0),
                spread([each.load.latency[50] for each in several], "ms"),
                spread([each.load.latency[99] for each in several], "ms"),
                spread([each.cpu_each for each in several], "ms", 1000, 2),
            )
            for name, several in loads.items()
        ],
        aim=f"{aim:,}/s",
        note=f"{NOTE} Memory: {memory[0] / 1e6:.0f} MB before, {max(memory[1:]) / 1e6:.0f} MB at most after a round.",
        values={"rates": rates, "memory": memory},
    )


def in_turns(
    stands: Mapping[str, Stand], directory: Path, ask: Mapping[str, object], memory: list[int]
) -> dict[str, list[Loaded]]:
    """Round by round, so that what else the machine does falls upon all."""
    loads: dict[str, list[Loaded]] = {name: [] for name in stands}
    with report.progress(f"Hits, {ask['response_format']}", ROUNDS * len(stands)) as done:
        for _ in range(ROUNDS):
            for name, stand in stands.items():
                script = wrk.write_script(directory / "ask.lua", ask, stand.headers)
                one = measure(stand, script, CLIENTS, SECONDS)
                loads[name].append(one)
                if name == "imagegate":
                    rest(stand.process)
                    memory.append(resident(stand.process))
                done(f"{name}: {one.load.rate:,.0f}/s")
    return loads


def answered_from_cache(stand: Stand, ask: Mapping[str, object]) -> bytes:
    """The answer to a second call, once a first has bought the picture."""
    headers = {"content-type": "application/json", **stand.headers}
    request = urllib.request.Request(stand.url, json.dumps(ask).encode(), headers)
    urllib.request.urlopen(request).close()
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["x-imagegate-cache"] == "hit"
        said: bytes = answer.read()
    return said
