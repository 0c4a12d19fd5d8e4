"""What an environment holds: its packages and their bytes, with the bytecode apart."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Installed:
    """Bytes by package as they were unpacked, and those of bytecode (0: whoever installed it compiled nothing, or not all)."""

    unpacked: Counter[str]
    bytecode: Counter[str]

    @property
    def packages(self) -> int:
        return len(self.unpacked)


def environment(uv: str, folder: Path, *install: str | Path) -> Installed:
    """A new one with these arguments of `uv pip install`, compiled throughout, as pip leaves it."""
    python = folder / "bin/python"
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *install], check=True)
    return of_python(folder)


def add(uv: str, folder: Path, *install: str | Path) -> Installed:
    command = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", folder / "bin/python", *install]
    subprocess.run(command, check=True)
    return of_python(folder)


def remove(uv: str, folder: Path, *packages: str) -> Installed:
    subprocess.run([uv, "pip", "uninstall", "--quiet", "--python", folder / "bin/python", *packages], check=True)
    return of_python(folder)


def of_python(folder: Path) -> Installed:
    (site,) = folder.glob("lib/python*/site-packages")
    owners = {
        (site / file).resolve(): canonicalize_name(each.name)
        for each in distributions(path=[str(site)])
        for file in each.files or ()
    }
    unpacked, bytecode = Counter[str](), Counter[str]()
    for path in site.rglob("*"):
        if not path.is_file():
            continue
        compiled = path.suffix == ".pyc"
        source = path.parent.parent / f"{path.name.partition('.')[0]}.py" if compiled else path
        owner = owners.get(source.resolve(), "")
        (bytecode if compiled else unpacked)[owner] += path.stat().st_size
    unpacked.pop("", None)  # what the environment itself lays there
    return Installed(unpacked, bytecode)


def of_node(folder: Path) -> Installed:
    """The packages below a `node_modules`, each with what is its own."""
    unpacked = Counter[str]()
    roots = {path.parent for path in folder.rglob("package.json") if _named(path)}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            owner = next((str(above.relative_to(folder)) for above in path.parents if above in roots), None)
            if owner is not None:
                unpacked[owner] += path.stat().st_size
    return Installed(unpacked, Counter())


def _named(manifest: Path) -> bool:
    """A package's own: some carry further ones, for their tests or to tell a module's kind."""
    above = manifest.parent.parent
    if above.name.startswith("@"):
        above = above.parent
    return above.name == "node_modules" and "name" in json.loads(manifest.read_text())
