"""The wheel as a stranger gets it: built, installed in an empty environment, run from `/`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

# A cold cache downloads every library once more.
pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def uv() -> str:
    found = shutil.which("uv") or shutil.which(ROOT / ".uv/bin/uv")
    assert found, "uv builds and installs the wheel: `make test` brings it"
    return found


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, so that this too is whole."""
    folder = tmp_path_factory.mktemp("dist")
    run(uv, "build", "--quiet", "--out-dir", folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(uv: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what its own metadata asks for, at the versions we ship with."""
    home = tmp_path_factory.mktemp("stranger") / "venv"
    run(uv, "venv", "--quiet", "--python", sys.executable, home)
    python = home / "bin/python"
    run(uv, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "requirements.txt", wheel)
    return home


def test_wheel_holds_the_package_its_policies_and_its_licence_alone(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    information = f"imagegate-{VERSION}.dist-info"
    assert {name.split("/")[0] for name in names} == {"gateway", information}
    assert {"gateway/py.typed", f"{information}/licenses/LICENSE"} <= names


def test_packaged_policies_are_those_of_the_checkout(installed: Path) -> None:
    (packaged,) = installed.glob("lib/python*/site-packages/gateway/_policies")
    assert files_below(packaged) == files_below(ROOT / "policies") != {}


@pytest.mark.parametrize(("arguments", "says"), [(["--version"], VERSION), (["policies", "check"], "")])
def test_command_runs_from_the_root_directory(installed: Path, tmp_path: Path, arguments: list[str], says: str) -> None:
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    assert says in run(installed / "bin/imagegate", *arguments, cwd=Path("/"), environment=environment)


#: Imports whatever a command may, but the engine that runs a model.
_IMPORT_ALL = """
import pkgutil, gateway
for found in pkgutil.walk_packages(gateway.__path__, "gateway."):
    if not found.name.startswith(("gateway.worker.diffusers", "gateway.__main__")):
        __import__(found.name)
"""


def test_all_runs_without_what_the_image_leaves_out(uv: str, installed: Path, tmp_path: Path) -> None:
    found = re.search(r"uninstall --quiet --yes \\\n +([^\\]+) ", (ROOT / "deploy/Dockerfile").read_text())
    assert found
    run(uv, "pip", "uninstall", "--quiet", "--python", installed / "bin/python", *found[1].split())
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    run(installed / "bin/python", "-c", _IMPORT_ALL, environment=environment)
    said = run(installed / "bin/imagegate", "demo", "--once", "--json", cwd=tmp_path, environment=environment)
    assert Path(json.loads(said)["path"]).stat().st_size > 1000
