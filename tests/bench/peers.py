"""Who is measured: imagegate, what its users would pick instead, a plain proxy, and the upstream by itself."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from floors import Nginx
from processes import Process, free_port, gateway, new_key

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".cache/peers"
PATH = "/v1/images/generations"
MODEL = "flux-2-klein-4b"

_LITELLM = INSTALLED / "litellm/bin/litellm"
_PORTKEY = INSTALLED / "portkey/node_modules/@portkey-ai/gateway"
_LOOPBACK = Path(__file__).parent / "portkey/loopback.cjs"

#: As its manual has it for production: no log of what went well, no database, no calls out. Under the name
#: of another model it would refuse or drop the `response_format`.
_LITELLM_CONFIG = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/dall-e-2
      api_base: {upstream}/openai/v1
      api_key: sk-upstream
general_settings:
  master_key: sk-bench
litellm_settings:
  telemetry: false
  drop_params: true
  request_timeout: 600
"""
_LITELLM_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_TELEMETRY": "False",
}
_NGINX_CONFIG = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000; client_body_temp_path body; proxy_temp_path proxy;
    proxy_http_version 1.1; proxy_buffers 16 128k; proxy_buffer_size 128k; proxy_busy_buffers_size 256k;
    upstream images {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://images/openai/; proxy_set_header connection ""; }}
    }}
}}
"""


@dataclass(frozen=True)
class Stand:
    """A peer that runs: `url` takes the request, with these headers. `started`: seconds until it was healthy."""

    process: Process
    url: str
    started: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """`missing`: why it cannot be measured here. `run`: in that directory, on that upstream, as one process."""

    name: str
    colour: str
    run: Callable[[Path, Process], AbstractContextManager[Stand]]
    version: str = ""
    missing: str = ""


class Program(Process):
    """As `Process`, but whatever command."""

    def launch(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.arguments, env=self.environment, stdout=log, stderr=log, cwd=self.log.parent
            )
        return self.running


def all_peers() -> list[Peer]:
    return [
        Peer("imagegate", "#0a7a5c", run_imagegate, version("imagegate")),
        _litellm(),
        _portkey(),
        _nginx(),
        Peer("the upstream alone", "#9a9a9a", run_upstream),
    ]


@contextmanager
def run_imagegate(directory: Path, upstream: Process) -> Iterator[Stand]:
    """With all that it does by itself: SQLite's journal with fsync, budgets, pictures on the disk, metrics."""
    with gateway(directory, upstream.url, started=False, PYTHONDONTWRITEBYTECODE="") as process:
        started = process.start()
        key = new_key(process, "1000000/total")
        yield Stand(process, process.url + PATH, started, {"authorization": f"Bearer {key}"})


@contextmanager
def run_litellm(directory: Path, upstream: Process) -> Iterator[Stand]:
    port, config = free_port(), directory / "litellm.yaml"
    config.write_text(_LITELLM_CONFIG.format(model=MODEL, upstream=upstream.url))
    command = [str(_LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    process = Program(command, port, _environment(directory, **_LITELLM_ENVIRONMENT), directory / "litellm.log")
    with _running(process, "/health/liveliness") as started:
        yield Stand(process, process.url + PATH, started, {"authorization": "Bearer sk-bench"})


@contextmanager
def run_portkey(directory: Path, upstream: Process) -> Iterator[Stand]:
    """The open-source gateway. It keeps nothing: whom to ask, with which key, is told with each request."""
    port, server = free_port(), _PORTKEY / "build/start-server.js"
    command = ["node", "--require", str(_LOOPBACK), str(server), f"--port={port}", "--headless"]
    settings = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1", "NODE_ENV": "production"}
    process = Program(command, port, _environment(directory, **settings), directory / "portkey.log")
    headers = {
        "authorization": "Bearer sk-upstream",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{upstream.url}/openai/v1",
    }
    with _running(process, "/") as started:
        yield Stand(process, process.url + PATH, started, headers)


@contextmanager
def run_nginx(directory: Path, upstream: Process) -> Iterator[Stand]:
    """It reads nothing of what it passes on: what a hop alone costs."""
    port = free_port()
    config = _NGINX_CONFIG.format(port=port, upstream=f"127.0.0.1:{upstream.port}")
    directory.joinpath("nginx.conf").write_text(config)
    process = Nginx([], port, {}, directory / "error.log")
    with _running(process, "/") as started:
        yield Stand(process, process.url + PATH, started)


@contextmanager
def run_upstream(directory: Path, upstream: Process) -> Iterator[Stand]:
    """The floor: what load generator and upstream can do with nobody between them."""
    yield Stand(upstream, f"{upstream.url}/openai{PATH}")


def _litellm() -> Peer:
    missing = "" if _LITELLM.exists() else "not installed in .cache/peers: make bench does so"
    installed = list(_LITELLM.parents[1].glob("lib/*/site-packages/litellm-*.dist-info"))
    named = installed[0].name.removeprefix("litellm-").removesuffix(".dist-info") if installed else ""
    return Peer("LiteLLM", "#c2571a", run_litellm, named, missing)


def _portkey() -> Peer:
    package = _PORTKEY / "package.json"
    if not package.exists() or shutil.which("node") is None:
        return Peer(
            "Portkey", "#5b4bb7", run_portkey, missing="wants node and npm (Debian: apt-get install nodejs npm)"
        )
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return Peer("Portkey", "#5b4bb7", run_portkey, f"{json.loads(package.read_text())['version']} on Node.js {node}")


def _nginx() -> Peer:
    if shutil.which("nginx") is None:
        return Peer("nginx", "#2b6cb0", run_nginx, missing="is not installed (Debian: apt-get install nginx-light)")
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return Peer("nginx", "#2b6cb0", run_nginx, re.findall(r"nginx/(\S+)", said)[0])


@contextmanager
def _running(process: Process, path: str) -> Iterator[float]:
    try:
        yield process.start(path, patience=120)
    finally:
        process.end()


def _environment(directory: Path, **settings: str) -> dict[str, str]:
    """Nothing of the caller's own: a key in it would be used."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(directory), **settings}
