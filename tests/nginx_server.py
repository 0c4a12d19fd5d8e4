"""A real nginx before gateways of a test's own, with the configuration that is shipped."""

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import free_port

SHIPPED = Path(__file__).parents[1] / "deploy" / "nginx.conf"

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin") is None,
    reason="wants nginx (Debian: apt-get install nginx)",
)

_MAIN = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/imagegate.conf;
}}
"""


def shipped_for(ports: Sequence[int], listen: int) -> str:
    """The shipped configuration, but for where it listens and whom it asks."""
    text = SHIPPED.read_text()
    text, listens = re.subn(r"^(\s*listen) 80;", rf"\1 127.0.0.1:{listen};", text, flags=re.MULTILINE)
    servers = re.findall(r"^\s*server 127\.0\.0\.1:\d+.*;$", text, flags=re.MULTILINE)
    assert (listens, len(servers)) == (1, len(ports))
    for server, port in zip(servers, ports, strict=True):
        text = text.replace(server, re.sub(r":\d+", f":{port}", server))
    return text


@contextmanager
def nginx(directory: Path, ports: Sequence[int]) -> Iterator[str]:
    """Its URL, while it runs before the gateways on these ports. What it had to complain of is in `error.log`."""
    directory.mkdir()
    listen = free_port()
    (directory / "imagegate.conf").write_text(shipped_for(ports, listen))
    (directory / "nginx.conf").write_text(_MAIN.format(directory=directory))
    path = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin") or "nginx"
    with (directory / "out.log").open("ab") as log:
        arguments = [
            path,
            "-p",
            str(directory),
            "-e",
            str(directory / "error.log"),
            "-c",
            str(directory / "nginx.conf"),
        ]
        running = subprocess.Popen(arguments, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{listen}/healthz", running, directory)
        yield f"http://127.0.0.1:{listen}"
    finally:
        running.terminate()
        running.wait(10)


def _wait(url: str, running: subprocess.Popen[bytes], directory: Path) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if running.poll() is not None or time.monotonic() > until:
                said = [(directory / name).read_text()[-1000:] for name in ("out.log", "error.log")]
                raise RuntimeError("\n".join(said)) from None
            time.sleep(0.02)
        else:
            return
