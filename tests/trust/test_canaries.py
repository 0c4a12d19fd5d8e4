"""Secrets, prompts and signatures, planted in a gateway that is put through all it can meet: heard only where they belong."""

import asyncio
import base64
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from forms import data_uri
from processes import Process, gateway, simulator
from redis_server import RedisServer

from gateway.core import keys as key_form
from gateway.core.encode import encode
from gateway.core.sample_picture import draw

MODEL = "flux-2-klein-4b"

UPSTREAM_KEY = "sk-empiriolabs-canaryUPSTREAM0123456789"
ADMIN_KEY = "canary-ADMIN-key-of-more-than-thirty-two-characters"
METRICS_TOKEN = "canary-METRICS-token-0123456789"
OWN_SECRET = "canary-SECRET-of-the-gateway-0123456789abcdef"
PASSWORD = "canary-PASSWORD-of-redis"
STRAY_KEY = "canary-STRAY-key-in-a-query"
#: Prompts by what they are asked for.
PROMPTS = {
    name: f"canary-{name}-prompt of a cat on a mat"
    for name in ("generation", "edit", "stream", "job", "negative", "refused", "broken", "failing", "stalled")
}
USER = "canary-USER-ann"
SMALL = {"model": MODEL, "size": "256x256"}
#: Where the end user's name belongs: beside what it has spent, and had made.
TELLS_USERS = {"cli spend --by user", "admin spend?by=user", "admin ledger", "admin jobs", "admin job", "cli jobs show"}

ADMIN_PATHS = (
    *(
        "keys",
        "teams",
        "teams/alpha",
        "budgets",
        "jobs",
        "spend",
        "spend?by=user",
        "ledger",
        "drift",
        "rate-card",
        "doctor",
    ),
    *("nowhere", "jobs/nobody", "keys/nobody"),
)
COMMANDS = ("keys list", "jobs list", "spend --by user", "doctor --json", "keys show nobody")


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@dataclass
class Ears:
    """All that was heard, by where; and what is listened for, by the places in which it may be."""

    process: Process
    heard: dict[str, str] = field(default_factory=dict)
    canaries: dict[str, set[str]] = field(default_factory=dict)

    def hear(self, where: str, answer: httpx.Response) -> httpx.Response:
        """Head and body: also of an answer in pieces, once it was read."""
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.heard[where] = f"{self.heard.get(where, '')}\n{answer.status_code}\n{head}\n{answer.text}"
        return answer

    def run(self, words: str, *more: str) -> None:
        """A command beside the gateway, whatever comes of it."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words.split(), *more],
            env=self.process.environment,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=self.process.log.parent,
        )
        self.heard[f"cli {words}"] = (done.stdout + done.stderr).decode()

    def found(self) -> dict[str, list[str]]:
        """Canaries by where they were heard and do not belong."""
        wrong = {
            where: [canary for canary, allowed in self.canaries.items() if canary in text and where not in allowed]
            for where, text in self.heard.items()
        }
        return {where: canaries for where, canaries in wrong.items() if canaries}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, "--requirepass", PASSWORD)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def ears(tmp_path: Path, redis: RedisServer) -> Iterator[Ears]:
    """Of a gateway whose upstream fails now and then, in each way."""
    settings = {
        "EMPIRIOLABS_API_KEY": UPSTREAM_KEY,
        "IMAGEGATE_ADMIN_KEY": ADMIN_KEY,
        "IMAGEGATE_METRICS_TOKEN": METRICS_TOKEN,
        "IMAGEGATE_SECRET": OWN_SECRET,
        "IMAGEGATE_STORE": redis.url(password=PASSWORD),
        "IMAGEGATE_BLOBS": f"file://{tmp_path / 'pictures'}",
        "IMAGEGATE_LOG_LEVEL": "debug",
    }
    faults = ("submit_500", "submit_garbage", "submit_lost", "poll_500", "poll_garbage", "cdn_500")
    options = [word for fault in faults for word in ("--fault", f"{fault}=0.08")]
    with (
        simulator(tmp_path, "--median", "0.05", "--failure-rate", "0.3", "--shape", "data_url", *options) as upstream,
        gateway(tmp_path, upstream.url, started=True, **settings) as process,
    ):
        ears = Ears(process)
        ears.canaries = {
            **{each: set() for each in (UPSTREAM_KEY, ADMIN_KEY, METRICS_TOKEN, OWN_SECRET, PASSWORD, STRAY_KEY)},
            **{prompt: set() for prompt in PROMPTS.values()},
            USER: TELLS_USERS,
        }
        yield ears
        upstream_token = re.compile("[?&]token=")  # the provider's own signatures
        assert [where for where, text in ears.heard.items() if upstream_token.search(text)] == []


async def make_keys(ears: Ears, admin: httpx.AsyncClient) -> tuple[str, str]:
    """The secret of one with money, rotated, and of one without; each told once."""
    made = ears.hear("keys create", await admin.post("/admin/v1/keys", json={"team": "alpha", "budgets": ["9/total"]}))
    rotate = f"/admin/v1/keys/{made.json()['id']}/rotate"
    turned = ears.hear("keys rotate", await admin.post(rotate, json={"grace": "1h"}))
    poor = ears.hear("keys create", await admin.post("/admin/v1/keys", json={"team": "poor", "budgets": ["0/total"]}))
    for answer, where in ((made, "keys create"), (turned, "keys rotate"), (poor, "keys create")):
        ears.canaries[answer.json()["secret"].rpartition("-")[2]] = {where}
    return turned.json()["secret"], poor.json()["secret"]


async def buy(ears: Ears, client: httpx.AsyncClient) -> str:
    """In every way there is; the id of a job."""
    path = "/v1/images/generations"
    fields: dict[str, Any] = SMALL | {"user": USER, "negative_prompt": PROMPTS["negative"], "response_format": "url"}
    wishes = [fields | {"prompt": PROMPTS["failing"], "seed": seed} for seed in range(40)]
    for answer in await asyncio.gather(*(client.post(path, json=wish) for wish in wishes)):
        ears.hear("result", answer)
    reference = data_uri(encode(draw("a cat", 1, 256, 256), "png"))
    edit = {"prompt": PROMPTS["edit"], "images": [{"image_url": reference}], "response_format": "b64_json"}
    ears.canaries[reference[-60:]] = set()
    ears.hear("result", await client.post("/v1/images/edits", json=fields | edit))
    stream = {"prompt": PROMPTS["stream"], "stream": True, "response_format": "b64_json"}
    ears.hear("result", await client.post(path, json=fields | stream))
    ears.hear("result", await client.post(path, json=fields | {"prompt": PROMPTS["generation"]}))
    begun = ears.hear("begun", await client.post(path, json=fields | {"prompt": PROMPTS["job"], "sync": False}))
    job_id: str = begun.json()["job_id"]
    async with asyncio.timeout(30):
        while (await client.get(f"/v1/jobs/{job_id}")).json()["status"] not in {"completed", "failed"}:
            pass
    ears.hear("own job", await client.get(f"/v1/jobs/{job_id}"))
    ears.hear("list of jobs", await client.get("/v1/jobs"))
    signatures = set(re.findall(r"[?&]s=([\w-]{43})", ears.heard["result"] + ears.heard["own job"]))
    assert signatures
    ears.canaries |= {signature: {"result", "own job"} for signature in signatures}
    return job_id


async def be_refused(ears: Ears, client: httpx.AsyncClient, poor: str) -> None:
    path, prompt = "/v1/images/generations", PROMPTS["refused"]
    _, stranger = key_form.mint(secrets.choice)
    ears.canaries[stranger.rpartition("-")[2]] = set()
    for headers, body in (
        (bearer(stranger), SMALL | {"prompt": prompt}),
        (bearer(poor), SMALL | {"prompt": prompt, "user": USER}),
        ({}, SMALL | {"prompt": prompt, "size": "1x1"}),
        ({}, SMALL | {"prompt": prompt, "n": prompt}),
        ({}, SMALL | {"prompt": [prompt]}),
        ({}, SMALL | {"prompt": prompt * 2000}),
        ({}, SMALL | {"prompt": prompt, "unheard_of": prompt}),
        ({}, SMALL | {"prompt": prompt, "user": 7 * [USER]}),
    ):
        answer = ears.hear("refusal", await client.post(path, json=body, headers=headers))
        assert 400 <= answer.status_code < 500
    broken = b'{"prompt": "' + PROMPTS["broken"].encode() + b'", '
    headers = {"content-type": "application/json"}
    ears.hear("refusal", await client.post(path, content=broken, headers=headers))
    ears.hear("refusal", await client.post("/v1/images/edits", content=broken, headers=headers))
    form = {"prompt": PROMPTS["broken"], "image": "no image"}
    ears.hear("refusal", await client.post("/v1/images/edits", data=form))
    ears.hear("refusal", await client.get("/v1/models", params={"api_key": STRAY_KEY}, headers={"authorization": ""}))
    for signature in [canary for canary, allowed in ears.canaries.items() if "own job" in allowed]:
        forged = {"k": "nobody", "e": "9999999999", "s": signature}
        ears.hear("refusal", await client.get(f"/files/{'0' * 64}.webp", params=forged))


async def look_around(ears: Ears, admin: httpx.AsyncClient, job_id: str) -> None:
    """As whoever operates it: over HTTP, and by the command line."""
    for path in ADMIN_PATHS:
        ears.hear(f"admin {path}", await admin.get(f"/admin/v1/{path}"))
    ears.hear("admin job", await admin.get(f"/admin/v1/jobs/{job_id}"))
    for path in ("/metrics", "/readyz", "/healthz", "/docs", "/openapi.json", "/v1/jobs"):
        ears.hear(path, await admin.get(path))
    for token in (METRICS_TOKEN, STRAY_KEY):
        afar = bearer(token) | {"x-forwarded-for": "192.0.2.1"}
        ears.hear("/metrics from afar", await admin.get("/metrics", headers=afar))
    for words in COMMANDS:
        await asyncio.to_thread(ears.run, words)
    await asyncio.to_thread(ears.run, "jobs show", job_id)


async def test_each_canary_is_heard_only_where_it_belongs(ears: Ears, redis: RedisServer) -> None:
    url = ears.process.url
    async with httpx.AsyncClient(base_url=url, headers=bearer(ADMIN_KEY), timeout=30) as admin:
        key, poor = await make_keys(ears, admin)
        async with httpx.AsyncClient(base_url=url, headers=bearer(key), timeout=30) as client:
            job_id = await buy(ears, client)
            await be_refused(ears, client, poor)
            await look_around(ears, admin, job_id)
            with redis.stalled():
                stalled = await client.post("/v1/images/generations", json=SMALL | {"prompt": PROMPTS["stalled"]})
                ears.hear("stalled", stalled)
                ears.hear("stalled", await admin.get("/readyz"))
    assert ears.process.stop() == 0
    redis.kill()
    await asyncio.to_thread(ears.run, "keys list")  # on its own, and the store is gone
    ears.heard["log"] = ears.process.log.read_text()
    codes = set(re.findall(r'"code": ?"(\w+)"', ears.heard["log"] + ears.heard["result"]))
    assert codes >= {"upstream_error", "upstream_unconfirmed", "invalid_api_key", "insufficient_quota", "no_capacity"}
    assert ears.heard["log"].count("\n") > 60
    assert ears.found() == {}
    belonging = {canary: allowed for canary, allowed in ears.canaries.items() if allowed}
    assert all(any(canary in ears.heard[where] for where in allowed) for canary, allowed in belonging.items())
    pictures = [base64.b64decode(each) for each in re.findall(r'"b64_json": ?"([^"]+)"', ears.heard["result"])]
    assert all(base64.b64encode(each[300:360]).decode() not in ears.heard["log"] for each in pictures)
