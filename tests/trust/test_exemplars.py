"""From a slow bucket to the request: what a real Prometheus keeps of our exemplars, and the log line that each leads to."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
from processes import Process, gateway, new_key, simulator
from prometheus_server import PrometheusServer, needs_prometheus, prometheus

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
#: what a client may write there freely, and must not be found anywhere
FREE = "00-" + "free-words-of-a-client-in-32-let" + "-00f067aa0ba902b7-01"
BUCKETS = '{__name__=~"imagegate_(request_duration|overhead)_seconds_bucket"}'


def ask(process: Process, key: str, prompt: str, traceparent: str) -> str:
    """Its request id."""
    answer = httpx.post(
        f"{process.url}/v1/images/generations",
        json={"prompt": prompt, "size": "256x256"},
        headers={"authorization": f"Bearer {key}", "traceparent": traceparent},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.headers["x-request-id"]


def kept(server: PrometheusServer, wanted: int) -> set[tuple[str, str]]:
    """The labels of all exemplars, once there are as many; fails after 30 s."""
    until = time.monotonic() + 30
    found: set[tuple[str, str]] = set()
    while len(found) < wanted:
        assert time.monotonic() < until, found
        time.sleep(0.2)
        series = server.exemplars(BUCKETS, 60)
        found = {label for each in series for told in each["exemplars"] for label in told["labels"].items()}
    return found


@needs_prometheus
def test_a_bucket_leads_to_a_log_line(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--median", "0.3", "--sigma", "0") as upstream,
        gateway(tmp_path, upstream.url, IMAGEGATE_LOG_LEVEL="info") as process,
    ):
        key = new_key(process, "10/total")
        with prometheus(tmp_path, {"imagegate": [process.url.removeprefix("http://")]}) as server:
            traced = ask(process, key, "a cat", f"00-{TRACE}-00f067aa0ba902b7-01")
            first = kept(server, 1)
            alone = ask(process, key, "a dog", FREE)
            found = first | kept(server, 1)
            while len(found) < 2:
                found |= kept(server, 2)
            assert server.query("sum(imagegate_request_duration_seconds_count)")[0]["value"][1] == "2"
    assert found == {("trace_id", TRACE), ("request_id", alone)}
    lines: dict[str, dict[str, Any]] = {}
    for text in re.findall(r"^\{.*\}$", process.log.read_text(), re.MULTILINE):
        line = json.loads(text)
        if line["event"] == "request":
            lines[line["request_id"]] = line
    assert lines[traced]["trace_id"] == TRACE
    assert "trace_id" not in lines[alone]
    assert "free-words" not in process.log.read_text()
