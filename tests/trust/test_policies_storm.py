"""Policies that change again and again under load, and models that come and go with jobs open, by SIGHUP to a process."""

import base64
import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from policy_sets import SHIPPED_SET, edited, write
from processes import ADMIN_KEY, Process, administer, eventually, gateway, simulator
from prometheus_client.parser import text_string_to_metric_families
from two_models import SHIPPED, two_models

from gateway.core.encode import encode
from gateway.core.sample_picture import draw

HOUSE = "house-model"
RELOADS = {"short": 20, "long": 500}[os.environ.get("TRUST", "short")]


@dataclass
class Running:
    """A gateway on policies that the test writes."""

    process: Process
    directory: Path
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def write(self, texts: dict[str, str]) -> str:
        return write(self.directory, texts)

    def hang_up(self) -> None:
        assert self.process.running is not None
        os.kill(self.process.running.pid, signal.SIGHUP)

    def reload(self, texts: dict[str, str]) -> None:
        digest = self.write(texts)
        self.hang_up()
        eventually(lambda: self.digest() == digest)

    def digest(self) -> str:
        digest: str = httpx.get(f"{self.process.url}/readyz").json()["policies"]
        return digest

    def ask(self, **fields: object) -> httpx.Response:
        asked = {"prompt": "a harbour", **fields}
        return httpx.post(f"{self.process.url}/v1/images/generations", json=asked, headers=self.bearer, timeout=30)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.process.url}/v1/jobs/{job_id}", headers=self.bearer)
        job: dict[str, Any] = answer.raise_for_status().json()
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        eventually(lambda: self.job(job_id)["status"] == "completed")
        return self.job(job_id)

    def metric(self, name: str, **labels: str) -> float | None:
        families = text_string_to_metric_families(httpx.get(f"{self.process.url}/metrics").text)
        samples = (sample for family in families for sample in family.samples)
        return next((each.value for each in samples if (each.name, each.labels) == (f"imagegate_{name}", labels)), None)


@contextmanager
def running(tmp_path: Path, texts: dict[str, str], *options: str) -> Iterator[Running]:
    policies = tmp_path / "policies"
    settings = {"IMAGEGATE_POLICIES": str(policies), "IMAGEGATE_ADMIN_KEY": ADMIN_KEY, "IMAGEGATE_LOG_LEVEL": "info"}
    with (
        simulator(tmp_path, "--sigma", "0", *(options or ("--median", "0.05"))) as upstream,
        gateway(tmp_path, upstream.url, started=False, **settings) as process,
    ):
        found = Running(process, policies, "")
        found.write(texts)
        process.start()
        found.key = administer(process, "keys", {"team": "alpha", "budgets": ["100/month"]})["secret"]
        yield found


class _Server(BaseHTTPRequestHandler):
    """OpenAI's images, of one picture."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        picture = base64.b64encode(encode(draw("a harbour", 1, 256, 256), "png")).decode()
        body = json.dumps({"created": 1, "data": [{"b64_json": picture}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def house_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_new_model_is_made_at_once_and_jobs_of_one_that_went_are_seen_to(tmp_path: Path, house_server: str) -> None:
    server = f'\n[[servers]]\nname = "house"\nurl = "{house_server}"\n'
    one = {**SHIPPED_SET, "routes.toml": SHIPPED_SET["routes.toml"] + server}
    (added,) = two_models("[]").keys() - SHIPPED_SET.keys()
    described = SHIPPED_SET[f"models/{SHIPPED}.toml"].replace(f'id = "{SHIPPED}"', f'id = "{HOUSE}"')
    described = described.replace('aliases = ["gpt-image-*", "chatgpt-image-*", "dall-e-*"]', "aliases = []")
    route = f'[[routes]]\nmodel = "{HOUSE}"\nlegs = [{{ provider = "house", price = 0.002 }}]'
    other = {
        "gateway.toml": SHIPPED_SET["gateway.toml"],
        "routes.toml": f'default = "{HOUSE}"\n{route}\n{server}',
        added: described,
    }
    with running(tmp_path, one, "--median", "2") as gate:
        jobs = [gate.ask(sync=False).json()["job_id"] for _ in range(2)]
        eventually(lambda: {gate.job(job)["status"] for job in jobs} == {"processing"})
        gate.reload(other)
        assert gate.metric("jobs_total", provider="house", model=HOUSE, outcome="completed") == 0
        assert gate.metric("cost_dollars_total", team="alpha", model=HOUSE) == 0
        made = gate.ask()
        assert (made.headers["x-imagegate-provider"], made.headers["x-imagegate-cost"]) == ("house", "0.002")
        assert gate.metric("cost_dollars_total", team="alpha", model=HOUSE) == 0.002
        assert gate.ask(model=SHIPPED).status_code == 404

        assert {gate.ended(job)["result"]["imagegate"]["cost"] for job in jobs} == {"0.0085"}
        late = gate.job(made.headers["x-imagegate-job"])
        listed = httpx.get(f"{gate.process.url}/v1/jobs", headers=gate.bearer).json()["data"]
        assert [job["job_id"] for job in listed] == [late["job_id"], *reversed(jobs)]

        gate.reload(one)
        job = gate.ask(sync=False, model=SHIPPED).json()["job_id"]
        eventually(lambda: gate.job(job)["status"] == "processing")
        gate.process.kill()
        gate.write(other)
        gate.process.start()
        assert gate.ended(job)["result"]["imagegate"]["cost"] == "0.0085"
        assert administer(gate.process, "drift")["microdollars"] == 0


def test_every_answer_of_a_storm_is_of_one_set_of_policies_alone(tmp_path: Path) -> None:
    other = edited(
        ("price = 0.0085", "price = 0.02"),
        ('codec = "webp"', 'codec = "jpeg"'),
        ('"16:9" = "1344x768"', '"16:9" = "1024x576"'),
        ("# images_per_minute = 60", "images_per_minute = 100_000"),
        ('scope = "team"', 'scope = "key"'),
    )
    sets = {(("0.0085", "webp", "1344x768", None)), (("0.02", "jpeg", "1024x576", "100000"))}
    with running(tmp_path, SHIPPED_SET) as gate, ThreadPoolExecutor(8) as pool:
        done = threading.Event()
        answers: list[tuple[Any, ...]] = []

        def storm() -> None:
            with httpx.Client(headers=gate.bearer, timeout=30) as client:
                while not done.is_set():
                    asked = {"prompt": "a harbour", "aspect_ratio": "16:9"}
                    answer = client.post(f"{gate.process.url}/v1/images/generations", json=asked).raise_for_status()
                    said = answer.json()
                    assert said["imagegate"]["cost"] == answer.headers["x-imagegate-cost"]
                    room = answer.headers.get("x-ratelimit-limit-images")
                    answers.append((said["imagegate"]["cost"], said["output_format"], said["size"], room))

        clients = [pool.submit(storm) for _ in range(8)]
        try:
            for number in range(RELOADS):
                answered = len(answers)
                gate.reload(other if number % 2 == 0 else SHIPPED_SET)
                eventually(lambda answered=answered: len(answers) > answered + 1)  # type: ignore[misc]
        finally:
            done.set()
        for client in clients:
            client.result()
        assert set(answers) == sets
        assert len(answers) > 20
        spent = sum(row["microdollars"] for row in administer(gate.process, "spend?by=team")["data"])
        assert spent == round(sum(float(cost) for cost, *_ in answers) * 1_000_000)
        assert administer(gate.process, "drift")["microdollars"] == 0
