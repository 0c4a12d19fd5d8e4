"""The README names every setting, error code, metric and command there is, and none that there is not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.main import main
from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.health import EXIT
from gateway.settings import Settings, variable
from gateway.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
#: Codes that only an operator's log and metrics see.
NEVER_ANSWERED = {errors.ClientLeft.code}


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def leaves(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for child in kind.__subclasses__():
        yield child
        yield from leaves(child)


def codes_in_source() -> set[str]:
    """Codes given beside the class, as `code="…"` in a call anywhere in the product."""
    found = set()
    for path in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
    return {code for code in found if isinstance(code, str)}


def commands(command: click.Command, path: str = "") -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, f"{path} {name}".strip())
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path


def test_every_setting_is_described_and_no_other() -> None:
    described = set(re.findall(r"`((?:IMAGEGATE|EMPIRIOLABS)_\w+)`", section("Settings")))
    assert described == {variable(name) for name in Settings.model_fields}


def test_every_error_code_is_described_and_no_other() -> None:
    known = {kind.code for kind in leaves(GatewayError)} | codes_in_source() | {"internal_error"}
    described = set(re.findall(r"`([a-z]+_[a-z_]+|timeout|cancelled)`", re.sub(r"`param`", "", section("Errors"))))
    assert described == known - NEVER_ANSWERED


def test_every_metric_is_described_and_no_other() -> None:
    text, _ = Metrics("0").exposition("text/plain")
    known = set(re.findall(r"^# TYPE (imagegate_\w+) ", text.decode(), re.MULTILINE))
    assert set(re.findall(r"`(imagegate_\w+)`", section("Seeing it"))) == known


def test_every_command_is_described_and_no_other() -> None:
    rows = re.findall(r"^\| (`imagegate .*?) \|", section("Teams, keys and budgets"), re.MULTILINE)
    described = {name.removeprefix("imagegate ") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert described == set(commands(main))


def test_every_exit_status_of_the_doctor_is_described_and_no_other() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", section("What it keeps"), re.MULTILINE)
    assert {check: int(status) for status, check in rows} == EXIT


def test_every_command_and_option_has_its_help() -> None:
    context = click.Context(main)
    for path in commands(main):
        command: click.Command = main
        for name in path.split():
            assert isinstance(command, click.Group)
            found = command.get_command(context, name)
            assert found is not None
            command = found
        assert command.help, path
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, f"{path} {option.name}"
