"""What the gateway is measured beside: the least that its own libraries can be, and nginx with the very same bytes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import Process, free_port

_UPSTREAM = Path(__file__).with_name("immediate_upstream.py")
_PATIENT_UPSTREAM = Path(__file__).with_name("patient_upstream.py")
_BARE_APP = Path(__file__).with_name("bare_app.py")
#: whatever is asked, and by whatever method, the answer is one file
_NGINX = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile {sendfile}; keepalive_requests 1000000; client_body_temp_path body;
    server {{
        listen 127.0.0.1:{port}; root {directory};
        location / {{ error_page 404 405 =200 /answer.json; }}
        location = /answer.json {{ default_type application/json; }}
    }}
}}
"""


class BareApp(Process):
    """As `Process`, but for what runs in it."""

    def launch(self) -> subprocess.Popen[bytes]:
        self.running = subprocess.Popen([sys.executable, _BARE_APP, str(self.port)], env=self.environment)
        return self.running


class ImmediateUpstream(Process):
    """As `Process`, but for what runs in it; the arguments say which picture it has."""

    def launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(_UPSTREAM), str(self.port), *self.arguments]
        self.running = subprocess.Popen(command, env=self.environment)
        return self.running


class PatientUpstream(Process):
    """As `Process`, but for what runs in it; the arguments say how long its jobs take."""

    def launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(_PATIENT_UPSTREAM), str(self.port), *self.arguments]
        self.running = subprocess.Popen(command, env=self.environment)
        return self.running


class Nginx(Process):
    """With the configuration in its log's directory."""

    def launch(self) -> subprocess.Popen[bytes]:
        command = ["nginx", "-p", str(self.log.parent), "-e", str(self.log), "-c", "nginx.conf"]
        self.running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        return self.running


@contextmanager
def bare_app(directory: Path) -> Iterator[Process]:
    process = BareApp([], free_port(), {}, directory / "bare.log")
    try:
        process.start()
        yield process
    finally:
        process.end()


@contextmanager
def immediate_upstream(directory: Path, picture: str = "drawing") -> Iterator[Process]:
    process = ImmediateUpstream([picture], free_port(), {}, directory / "upstream.log")
    try:
        process.start("/v1/jobs/none")
        yield process
    finally:
        process.end()


@contextmanager
def patient_upstream(directory: Path, median: float, spread: float = 0.0) -> Iterator[Process]:
    """`median` seconds a job; `spread`: sigma of their logarithm."""
    process = PatientUpstream([str(median), str(spread)], free_port(), {}, directory / "upstream.log")
    try:
        process.start("/v1/jobs/none")
        yield process
    finally:
        process.end()


@contextmanager
def nginx(directory: Path, answer: bytes, *, sendfile: bool) -> Iterator[Process]:
    """One worker that has `answer` for whoever asks for anything."""
    own, switch = directory / f"nginx-{sendfile}", "on" if sendfile else "off"
    own.mkdir()
    own.joinpath("answer.json").write_bytes(answer)
    process = Nginx([], free_port(), {}, own / "error.log")
    own.joinpath("nginx.conf").write_text(_NGINX.format(directory=own, port=process.port, sendfile=switch))
    try:
        process.start("/answer.json")
        yield process
    finally:
        process.end()
