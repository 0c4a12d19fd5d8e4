"""What a scrape of a replica with thousands of series costs, and what requests feel of one every second."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import quantiles

from figures import show, spread, times
from processes import ADMIN_KEY, Process, administer, gateway

SECONDS = times(5, 20)
ROUNDS = times(2, 5)
#: each with a key: with one model some ten series a team
TEAMS = 190
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


def test_scrapes_and_the_requests_beside_them(tmp_path: Path) -> None:
    with gateway(tmp_path, "http://127.0.0.1:1", IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process:
        for number in range(TEAMS):
            administer(process, "keys", {"team": f"team-{number}", "budgets": ["1/month"]})
        series = sum(not line.startswith("#") for line in text(process).splitlines())
        scrapes = [took(process, "/metrics") for _ in range(times(10, 40))]
        alone, beside = list[float](), list[float]()
        for _ in range(ROUNDS):  # in turns: what else runs on the machine strikes both
            alone += latencies(process)
            with scraped(process):
                beside += latencies(process)
    assert series > 2000
    (before, p99), (after, felt) = (
        (quantiles(each, n=100)[49], quantiles(each, n=100)[98]) for each in (alone, beside)
    )
    show(
        f"A scrape of {series} series (aim: 150 ms); /healthz beside one every second: "
        f"p50 {after / before:.2f}, p99 {felt / p99:.2f} times that without",
        ("", "median (quartiles)", "p99", "p99.9", "most"),
        [
            ("a scrape", spread(scrapes, "ms", 1000), "", "", f"{max(scrapes) * 1000:.1f} ms"),
            *(
                (name, spread(each, "ms", 1000, 2), *tail(each))
                for name, each in (("alone", alone), ("scraped", beside))
            ),
        ],
    )


def tail(values: list[float]) -> list[str]:
    cuts = quantiles(values, n=1000)
    return [f"{each * 1000:.2f} ms" for each in (cuts[989], cuts[998], max(values))]


def text(process: Process) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)) as connection:
        return asked(connection, "/metrics").decode()


def took(process: Process, path: str) -> float:
    with closing(http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)) as connection:
        began = time.perf_counter()
        assert asked(connection, path)
        return time.perf_counter() - began


def asked(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path, headers=OPENMETRICS)
    return connection.getresponse().read()


def latencies(process: Process) -> list[float]:
    """Of one client on one connection, one request at a time."""
    seconds, ends = list[float](), time.perf_counter() + SECONDS
    with closing(http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)) as connection:
        while (began := time.perf_counter()) < ends:
            assert asked(connection, "/healthz")
            seconds.append(time.perf_counter() - began)
            time.sleep(0.001)  # a client that thinks: the rest of the machine is the scrape's
    return seconds


@contextmanager
def scraped(process: Process) -> Iterator[None]:
    """Once a second, as a Prometheus does."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            took(process, "/metrics")

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield
    finally:
        over.set()
        scraper.join()
