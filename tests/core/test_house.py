"""The house rules that no linter knows: sizes, names, tests that can fail, and lists that must agree."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PRODUCT = sorted((ROOT / "gateway").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME: list[str] = PYPROJECT["project"]["dependencies"]
WORKER: list[str] = PYPROJECT["project"]["optional-dependencies"]["worker"]
DEVELOPMENT: list[str] = PYPROJECT["dependency-groups"]["dev"]

LONGEST_FILE = 300
LONGEST_FUNCTION = 60
#: A call to one of these, or to anything whose name holds one of these words, is how a test without `assert` fails.
CHECKS = ("raises", "warns", "fail", "check", "verify", "expect", "assert")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, Function))


def place(path: Path, node: Function) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def can_fail(test: Function) -> bool:
    called = (
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(test)
        if isinstance(node, ast.Call)
    )
    asserts = any(isinstance(node, ast.Assert) for node in ast.walk(test))
    return asserts or any(word in name for name in called for word in CHECKS)


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def pins(filename: str) -> dict[str, tuple[str, str]]:
    """What a requirements file holds, by name: the pinned version, and the lines that say its hashes and who asked."""
    entries = re.findall(r"^([\w.-]+)==(\S+)(.*(?:\n[ #].*)*)", (ROOT / filename).read_text(), flags=re.MULTILINE)
    return {canonicalize_name(name): (version, rest) for name, version, rest in entries}


def test_files_stay_readable() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in PRODUCT}
    assert [f"{path.relative_to(ROOT)}: {lines}" for path, lines in lengths.items() if lines > LONGEST_FILE] == []


def test_functions_stay_readable() -> None:
    lengths = [
        (place(path, node), (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in [*PRODUCT, *TESTS]
        for node in functions(path)
    ]
    assert [f"{where}: {lines}" for where, lines in lengths if lines > LONGEST_FUNCTION] == []


def test_every_test_can_fail() -> None:
    tests = [(path, node) for path in TESTS for node in functions(path) if node.name.startswith("test_")]
    assert [place(path, node) for path, node in tests if not can_fail(node)] == []


def test_file_names_are_unique() -> None:
    """The test folders are no packages: two files of one name would be one module to pytest and to mypy."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_names_say_what_a_file_is_for() -> None:
    banned = re.compile(r"utils?|helpers?|commons?|misc", re.IGNORECASE)
    paths = [path.relative_to(ROOT) for folder in ("gateway", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path) for path in paths if any(banned.fullmatch(part) for part in path.with_suffix("").parts)] == []


def test_changelog_tops_with_the_version_being_built() -> None:
    versions = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert versions[0] == PYPROJECT["project"]["version"]


def test_every_library_has_its_reason_in_contributing() -> None:
    rows = re.findall(r"^\| `([\w.-]+)` \| (\S.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    assert {canonicalize_name(name) for name, _reason in rows} == names([*RUNTIME, *WORKER, *DEVELOPMENT])


@pytest.mark.parametrize(
    ("filename", "asked", "by"),
    [
        ("requirements.txt", RUNTIME, "imagegate (pyproject.toml)"),
        ("requirements-dev.txt", RUNTIME, "imagegate (pyproject.toml)"),
        ("requirements-dev.txt", DEVELOPMENT, "imagegate (pyproject.toml:dev)"),
        ("requirements-worker.txt", [*RUNTIME, *WORKER], "imagegate (pyproject.toml)"),
        ("deploy/requirements-build.txt", PYPROJECT["build-system"]["requires"], "imagegate (pyproject.toml:build)"),
    ],
)
def test_requirements_are_those_of_pyproject(filename: str, asked: list[str], by: str) -> None:
    """Else: `make requirements`."""
    pinned = pins(filename)
    assert {name for name, (_version, rest) in pinned.items() if by in rest} == names(asked)
    for requirement in map(Requirement, asked):
        version, _rest = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned at {version} in {filename}"


@pytest.mark.parametrize("filename", ["requirements-dev.txt", "requirements-worker.txt"])
def test_all_requirements_files_pin_the_same_versions(filename: str) -> None:
    """So that tests run on what the product ships with, and a demo after the tests changes nothing."""
    run, more = pins("requirements.txt"), pins(filename)
    assert {name: version for name, (version, _rest) in more.items() if name in run} == {
        name: version for name, (version, _rest) in run.items()
    }


@pytest.mark.parametrize(
    "filename",
    ["requirements.txt", "requirements-dev.txt", "requirements-worker.txt", "deploy/requirements-build.txt"],
)
def test_requirements_are_hashed_and_name_no_place(filename: str) -> None:
    assert [name for name, (_version, rest) in pins(filename).items() if "--hash=sha256:" not in rest] == []
    places = re.compile(r"://|--(?:index|extra-index|find-links|trusted)|file:|[ =]/")
    assert [line for line in (ROOT / filename).read_text().splitlines() if places.search(line)] == []
