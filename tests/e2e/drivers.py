"""The SDKs, set up: a module that says `pytest_plugins = ["drivers"]` has its fixtures."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest
from sdks import NodeSdk, PythonSdk, Sdk

SOURCE = Path(__file__).parent / "node"
CACHE = Path(__file__).parents[2] / ".cache" / "node"
#: the SDK asks for 22; on 20 it works, and below there is no `fetch` that it could use
OLDEST = 20


@pytest.fixture(scope="session")
def node() -> NodeSdk:
    """Installed once into `.cache/node`, and again when the lock file changes; by one worker, while the other waits."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, check=True, text=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"Node.js {version} is older than {OLDEST}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        _install()
    return NodeSdk(CACHE)


def _install() -> None:
    lock = SOURCE / "package-lock.json"
    installed = CACHE / "installed-lock.json"
    for name in ("package.json", "package-lock.json", "call.mjs"):
        shutil.copy(SOURCE / name, CACHE)
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=CACHE, check=True, timeout=100)
        shutil.copy(lock, installed)


@pytest.fixture(params=["python", "node"])
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Each of the two; that of Node skips where there is none."""
    if request.param == "python":
        return PythonSdk()
    found: NodeSdk = request.getfixturevalue("node")
    return found
