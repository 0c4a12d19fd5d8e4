"""What an installation takes: packages and megabytes, beside the web framework alone and beside the peers."""

import os
import re
import shutil
from pathlib import Path

import installed
import pytest
from figures import show
from installed import Installed

ROOT = Path(__file__).parents[2]
_FOLDER = ROOT / ".cache/bench/size"
_PEERS = ROOT / ".cache/peers"
_LARGEST = 10

# A cold cache downloads every library once more.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def uv() -> str:
    """As the Makefile finds it."""
    found = os.environ.get("UV") or shutil.which("uv") or shutil.which(ROOT / ".uv/bin/uv")
    if found is None:
        pytest.skip("uv installs it: `make bench` brings it")
    return found


def test_installed_size_and_packages(uv: str) -> None:
    pinned = ROOT / "requirements.txt"
    ours, bare = _FOLDER / "imagegate", _FOLDER / "litestar"
    installed.environment(uv, ours, "--require-hashes", "--requirement", pinned)
    gateway = installed.add(uv, ours, "--no-deps", ROOT)
    litestar = installed.environment(uv, bare, "--constraint", pinned, "litestar", "uvicorn")
    image = installed.remove(uv, ours, *left_out())
    beside = {"imagegate": gateway, "imagegate in its image": image, "a bare litestar and uvicorn": litestar}
    if (_PEERS / "litellm/bin/python").exists():
        beside["LiteLLM proxy"] = installed.of_python(_PEERS / "litellm")
    if (_PEERS / "portkey/node_modules").exists():
        beside["Portkey gateway"] = installed.of_node(_PEERS / "portkey/node_modules")
    size, compiled = _mb(gateway.unpacked.total()), _mb(_whole(gateway))
    show(
        f"Installed: {size:.0f} MB (aim: 120) in {gateway.packages} packages (aim: 48), "
        f"{compiled:.0f} MB with bytecode; {size / _mb(litestar.unpacked.total()):.1f} times a bare litestar",
        ("", "packages", "MB as unpacked", "MB with bytecode throughout"),
        [
            (name, each.packages, f"{_mb(each.unpacked.total()):.1f}", _with_bytecode(name, each))
            for name, each in beside.items()
        ],
    )
    show(
        f"The largest {_LARGEST} of them, {_share(gateway):.0%} of the whole",
        ("", "MB as unpacked", "MB of bytecode", "there without us"),
        [
            (
                name,
                f"{_mb(size):.1f}",
                f"{_mb(gateway.bytecode[name]):.1f}",
                "litestar's" if name in litestar.unpacked else "",
            )
            for name, size in gateway.unpacked.most_common(_LARGEST)
        ],
    )
    assert "imagegate" in gateway.unpacked
    assert litestar.unpacked.keys() < gateway.unpacked.keys()


def left_out() -> list[str]:
    """What the Dockerfile takes out again."""
    found = re.search(r"uninstall --quiet --yes \\\n +([^\\]+) ", (ROOT / "deploy/Dockerfile").read_text())
    assert found
    return found[1].split()


def _whole(each: Installed) -> int:
    return each.unpacked.total() + each.bytecode.total()


def _share(each: Installed) -> float:
    return sum(size for _, size in each.unpacked.most_common(_LARGEST)) / each.unpacked.total()


def _with_bytecode(name: str, each: Installed) -> str:
    """Only of those that were compiled here: a peer has what its own runs left."""
    return f"{_mb(_whole(each)):.1f}" if name not in {"LiteLLM proxy", "Portkey gateway"} else ""


def _mb(size: int) -> float:
    return size / 1e6
