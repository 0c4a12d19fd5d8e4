"""The command line as people and scripts use it: over the store, over the local socket, over TCP, and the demo."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from gateway.cli.main import COMMANDS, main

ADMIN_KEY = "an admin key of at least thirty-two characters"
LIMITS = ("requests_per_minute", "images_per_minute", "images_in_flight")
_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Shell:
    """Runs `imagegate` in a directory of its own, with nothing of ours in the environment."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, **environment: str) -> Result:
        return CliRunner().invoke(main, words, env={**self.environment, **environment}, prog_name="imagegate")

    def json(self, *words: str, **environment: str) -> Any:
        result = self.run(*words, "--json", **environment)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in [name for name in os.environ if name.startswith(("IMAGEGATE_", "EMPIRIOLABS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, {"IMAGEGATE_DATA": str(tmp_path / "data")})


def _start(*words: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout.readline, "")


def _serving(shell: Shell) -> tuple[subprocess.Popen[str], str]:
    """`imagegate serve` on the shell's data directory, and where it listens."""
    process = _start("serve", "--port", "0", cwd=shell.directory, IMAGEGATE_ADMIN_KEY=ADMIN_KEY, **shell.environment)
    return process, next(match[0] for line in _lines(process) if (match := _LISTENING.search(line)))


@pytest.fixture
def served(shell: Shell) -> Iterator[str]:
    """The URL of a gateway that runs beside the shell."""
    process, url = _serving(shell)
    with process:
        try:
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture
def served_and_killed(shell: Shell) -> None:
    process, _ = _serving(shell)
    with process:
        process.kill()


# --- the shape ---------------------------------------------------------------------------------------------------------


def walk(command: click.Command, words: Sequence[str] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(words), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, [*words, name])


def test_the_commands_are_those_of_the_contract() -> None:
    commands = dict(walk(main))
    groups = {words for words, command in commands.items() if isinstance(command, click.Group)}
    assert commands.keys() - groups | {"spend"} == {
        *("serve", "demo", "simulator", "spend", "spend adjust", "doctor", "backup", "log-level"),
        *("teams create", "teams list", "teams show", "teams set"),
        *("keys create", "keys list", "keys show", "keys set", "keys rotate", "keys revoke"),
        *("budgets set", "budgets list"),
        *("jobs list", "jobs show", "jobs resolve"),
        *("worker", "workers list", "workers token create", "workers token revoke"),
        *("cache stats", "cache purge"),
        *("policies check", "policies show", "policies export"),
    }


def test_every_command_and_option_has_help() -> None:
    for words, command in walk(main):
        assert command.help, words
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{words} {parameter.opts}"


def test_the_group_says_what_its_commands_say() -> None:
    context = click.Context(main)
    for name, entry in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert (command.help or "").split("\n")[0] == entry.help


def test_help_imports_nothing_heavy() -> None:
    script = """
import sys
from gateway.cli.main import main
main(["--help"], standalone_mode=False)
print(sorted({"httpx", "rich", "litestar", "pydantic", "asyncio", "PIL"} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.endswith("[]\n")
    assert "demo" in said.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nope"], 2),
        (["keys", "create"], 2),
        (["budgets", "set", "org"], 2),
        (["budgets", "set", "org", "5/day", "--none"], 2),
        (["spend", "--since", "yesterday"], 2),
        (["spend", "--csv", "--json"], 2),
        (["spend", "adjust", "5", "--key", "AAAAAAAAAAAA"], 2),
        (["spend", "adjust", "5", "--key", "AAAAAAAAAAAA", "--reason", "x", "--reson", "y"], 2),
        (["spend", "--by", "key", "adjust", "5", "--key", "AAAAAAAAAAAA", "--reason", "x"], 2),
        (["spend", "adjust", "-5", "--key", "AAAAAAAAAAAA", "--reason", "x"], 1),
        (["jobs", "resolve", "job_a", "charge", "--attempt", "-1"], 2),
        (["jobs", "resolve", "job_a", "maybe"], 2),
        (["keys", "create", "--team", "a b"], 1),
        (["keys", "create", "--team", "a", "--budget", "5/year"], 1),
        (["keys", "create", "--team", "a", "--model", "gpt-image-1"], 1),
        (["keys", "create", "--team", "a", "--max-size", "1024*1024"], 2),
        (["keys", "create", "--team", "a", "--max-images", "11"], 2),
        (["keys", "create", "--team", "a", "--endpoint", "generations"], 2),
        (["keys", "create", "--team", "a", "--max-size", "512"], 1),
        (["keys", "create", "--team", "a", "--expires", "2020-01-01"], 1),
        (["keys", "set", "AAAAAAAAAAAA"], 2),
        (["keys", "set", "AAAAAAAAAAAA", "--disable", "--enable"], 2),
        (["keys", "set", "AAAAAAAAAAAA", "--expires", "30d", "--no-expiry"], 2),
        (["keys", "set", "AAAAAAAAAAAA", "--disable"], 1),
        (["keys", "set", "AAAAAAAAAAAA", "--images-per-minute", "many"], 2),
        (["teams", "set", "nobody", "--images-in-flight", "-1"], 2),
        (["keys", "rotate", "AAAAAAAAAAAA"], 1),
        (["teams", "create", "a b"], 1),
        (["teams", "show", "nobody"], 1),
        (["teams", "set", "nobody"], 2),
        (["budgets", "set", "key:AAAAAAAAAAAA", "5/day"], 1),
        (["jobs", "show", "job_nope"], 1),
        (["cache", "purge"], 2),
        (["cache", "purge", "--all", "--team", "design"], 2),
        (["cache", "purge", "--older-than", "yesterday"], 1),
        (["cache", "purge", "--fingerprint", "1234567"], 1),
        (["cache", "stats", "--since", "yesterday"], 2),
        (["cache", "stats", "--by", "key"], 2),
        (["keys", "list", "--url", "http://127.0.0.1:9"], 1),
        (["log-level", "debug"], 1),
        (["policies", "export", "/"], 1),
    ],
)
def test_errors_are_one_clear_line_on_stderr(shell: Shell, words: list[str], code: int) -> None:
    result = shell.run(*words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_misspelt_setting_stops_every_command(shell: Shell) -> None:
    result = shell.run("keys", "list", IMAGEGATE_PROT="1")
    assert result.exit_code == 1
    assert "did you mean IMAGEGATE_PORT?" in result.stderr


# --- three roads -------------------------------------------------------------------------------------------------------


def test_management_works_without_a_gateway(shell: Shell) -> None:
    _check_management(shell, ())


def test_management_works_through_the_local_socket(shell: Shell, served: str) -> None:
    """The gateway holds the store's lock, so no other road could have answered."""
    assert served
    _check_management(shell, ())
    assert shell.json("log-level", "debug") == {"level": "debug"}


def test_management_works_over_tcp_with_the_admin_key(shell: Shell, served: str) -> None:
    elsewhere = Shell(shell.directory, {"IMAGEGATE_DATA": "elsewhere", "IMAGEGATE_ADMIN_KEY": ADMIN_KEY})
    _check_management(elsewhere, ("--url", served))
    refused = shell.run("keys", "list", "--url", served, IMAGEGATE_ADMIN_KEY="x" * 32)
    assert (refused.exit_code, "admin key" in refused.stderr) == (1, True)
    assert not (shell.directory / "elsewhere").exists()


@pytest.mark.usefixtures("served_and_killed")
def test_a_dead_socket_is_no_gateway(shell: Shell) -> None:
    assert (shell.directory / "data" / "admin.sock").is_socket()
    assert shell.json("keys", "list") == {"data": []}


def _check_management(shell: Shell, road: Sequence[str]) -> None:
    key = shell.json("keys", "create", "--team", "design", "--name", "[bold]x", "--budget", "25/month", *road)
    assert key["secret"].startswith(f"sk-ig-{key['id']}-")
    assert (key["team"], key["name"], key["budgets"], key["warnings"]) == ("design", "[bold]x", ["25/month"], [])
    assert [one["id"] for one in shell.json("keys", "list", *road)["data"]] == [key["id"]]
    assert "[bold]x" in shell.run("keys", "list", *road).stdout
    assert key["secret"] not in shell.run("keys", "show", key["id"], *road).stdout

    assert key["models"] == []
    assert re.search(r"(?m)^models +all$", shell.run("keys", "show", key["id"], *road).stdout)
    _check_models(shell, road)
    _check_terms(shell, road)
    _check_rotation(shell, road)
    _check_teams(shell, road)

    limits = shell.json("budgets", "set", f"key:{key['id']}", "1.50/day", *road)["budgets"]
    assert [one["limit"]["dollars"] for one in limits] == ["1.5"]
    assert "$1.5" in shell.run("budgets", "list", *road).stdout
    assert shell.json("budgets", "set", f"key:{key['id']}", "--none", *road)["budgets"] == []

    unlimited = shell.run("keys", "create", "--team", "open", *road)
    assert "Warning: no budget" in unlimited.stderr
    assert shell.json("spend", "--by", "day", *road)["total"]["microdollars"] == 0
    assert shell.json("jobs", "list", "--status", "unconfirmed", *road) == {"data": []}
    assert shell.json("keys", "revoke", key["id"], *road)["revoked_at"]


def _check_models(shell: Shell, road: Sequence[str]) -> None:
    asked = ("keys", "create", "--team", "picky", "--model", "flux-2-klein-4b", "--model", "flux-2-klein-4b", *road)
    assert re.search(r"(?m)^models +flux-2-klein-4b$", shell.run(*asked).stdout)
    (picky,) = shell.json("keys", "list", "--team", "picky", *road)["data"]
    assert picky["models"] == ["flux-2-klein-4b"]
    assert shell.json("keys", "show", picky["id"], *road) == picky
    assert "flux-2-klein-4b" in shell.run("keys", "list", "--team", "picky", *road).stdout
    for name, told in (("gpt-image-1", "write flux-2-klein-4b"), ("flux-3", "no model here")):
        refused = shell.run("keys", "create", "--team", "none", "--model", name, *road)
        assert (refused.exit_code, told in refused.stderr) == (1, True)
    assert shell.json("keys", "list", "--team", "none", *road) == {"data": []}


def _check_terms(shell: Shell, road: Sequence[str]) -> None:
    limits = ("--max-images", "2", "--max-size", "1024x768", "--endpoint", "edit", "--endpoint", "variation")
    key = shell.json("keys", "create", "--team", "limited", *limits, "--expires", "30d", *road)
    assert (key["max_images"], key["max_pixels"], key["endpoints"]) == (2, 786_432, ["edit", "variation"])
    assert key["expires_at"] > key["created_at"]
    shown = shell.run("keys", "show", key["id"], *road).stdout
    for line in ("status +active", "endpoints +edit, variation", "largest n +2", "largest size +786432 pixels"):
        assert re.search(f"(?m)^{line}$", shown)
    changed = shell.json("keys", "set", key["id"], "--max-size", "65536", "--no-expiry", "--all-endpoints", *road)
    assert (changed["max_images"], changed["max_pixels"]) == (2, 65_536)
    assert (changed["endpoints"], changed["expires_at"]) == ([], None)
    freed = shell.json("keys", "set", key["id"], "--no-max-images", "--no-max-size", "--name", "free", *road)
    assert (freed["max_images"], freed["max_pixels"], freed["name"]) == (None, None, "free")
    rates = ("--requests-per-minute", "60", "--images-per-minute", "0", "--images-in-flight", "4")
    limited = shell.json("keys", "set", key["id"], *rates, *road)
    assert [limited[name] for name in LIMITS] == [60, 0, 4]
    shown = shell.run("keys", "set", key["id"], "--images-in-flight", "default", *road).stdout
    assert re.search(r"(?m)^limits +60 requests a minute, any images a minute$", shown)
    for switch, status in (("--disable", "disabled"), ("--enable", "active")):
        assert shell.json("keys", "set", key["id"], switch, *road)["status"] == status
        assert re.search(f"limited.*free.*{status}", shell.run("keys", "list", *road).stdout)


def _check_rotation(shell: Shell, road: Sequence[str]) -> None:
    key = shell.json("keys", "create", "--team", "turning", *road)
    rotated = shell.json("keys", "rotate", key["id"], "--grace", "1h", *road)
    assert rotated["secret"].startswith(f"sk-ig-{key['id']}-")
    assert rotated["secret"] != key["secret"]
    assert rotated["old_secret_until"] > rotated["created_at"]
    refused = shell.run("keys", "rotate", key["id"], *road)
    assert (refused.exit_code, f"works until {rotated['old_secret_until']}" in refused.stderr) == (1, True)
    said = shell.run("keys", "rotate", key["id"], "--force", *road).stdout
    assert re.search(rf"(?m)^secret +sk-ig-{key['id']}-", said)
    shown = shell.run("keys", "show", key["id"], *road).stdout
    assert "old secret until" in shown
    assert "sk-ig-" not in shown


def _check_teams(shell: Shell, road: Sequence[str]) -> None:
    team = shell.json("teams", "create", "art", "--budget", "5/day", *road)
    assert (team["name"], team["budgets"], team["keys"], team["disabled"]) == ("art", ["5/day"], 0, False)
    assert "already" in shell.run("teams", "create", "art", *road).stderr
    key = shell.json("keys", "create", "--team", "art", *road)
    limited = shell.json("teams", "set", "art", "--images-in-flight", "8", *road)
    assert [limited[name] for name in LIMITS] == [None, None, 8]
    assert re.search(r"(?m)^limits +8 images in flight$", shell.run("teams", "show", "art", *road).stdout)
    assert shell.json("teams", "set", "art", "--disable", *road)["disabled"] is True
    assert shell.json("keys", "show", key["id"], *road)["status"] == "team_disabled"
    assert re.search(r"art +disabled +1 +5/day", shell.run("teams", "list", *road).stdout)
    assert re.search(r"(?m)^status +active$", shell.run("teams", "set", "art", "--enable", *road).stdout)
    listed = {one["name"]: one for one in shell.json("teams", "list", *road)["data"]}
    assert listed["art"] == shell.json("teams", "show", "art", *road)


# --- policies ----------------------------------------------------------------------------------------------------------


def test_policies_are_exported_checked_and_refused_whole(shell: Shell) -> None:
    exported = shell.json("policies", "export", "mine")
    assert "gateway.toml" in exported["files"]
    packaged = shell.json("policies", "check")
    mine = shell.json("policies", "check", IMAGEGATE_POLICIES="mine")
    assert (mine["directory"], mine["digest"]) == ("mine", packaged["digest"])
    shown = shell.run("policies", "show").stdout
    assert "flux-2-klein-4b" in shown
    for line in ("cache.scope +team", "cache.lifetime +604800", "budgets.warn_at +0.8, 0.95"):
        assert re.search(f"(?m)^{line}$", shown)
    assert shell.run("policies", "export", "mine").exit_code == 1

    (shell.directory / "mine" / "gateway.toml").write_text("[jobs]\nkept = 1\n")
    refused = shell.run("policies", "check", "mine")
    assert (refused.exit_code, "gateway.toml" in refused.stderr) == (1, True)


# --- the demo ----------------------------------------------------------------------------------------------------------


def test_the_demo_ends_with_an_image_file(shell: Shell) -> None:
    first = _demo(shell)
    with Image.open(first["path"]) as image:
        image.load()
        assert (image.width, image.height, image.format) == (1024, 1024, first["codec"].upper())
    assert Path(first["path"]).parent == shell.directory / ".imagegate" / "demo"
    assert (first["simulated"], first["cost"], first["budget_remaining"]) == (True, "0.0085", "4.9915")

    again = _demo(shell)
    assert (again["team"], again["budget_remaining"]) == ("demo", "4.9915")
    assert again["key_id"] != first["key_id"]
    spent = shell.json("spend", IMAGEGATE_DATA=str(shell.directory / ".imagegate" / "demo"))
    assert spent["data"] == [{"group": "demo", "images": 2, "microdollars": 17000, "dollars": "0.017"}]


def test_the_demo_says_why_there_is_no_image(shell: Shell) -> None:
    """A key whose upstream does not answer: nothing was bought, and a person reads one line, no traceback."""
    real = {"EMPIRIOLABS_API_KEY": "sk-empiriolabs-x", "IMAGEGATE_EMPIRIOLABS_URL": "http://127.0.0.1:9"}
    said = _run_demo(shell, "--once", **real)
    assert (said.returncode, said.stdout) == (1, "")
    assert "one image is bought" in said.stderr
    assert said.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in said.stderr


def test_the_demo_serves_on_until_it_is_interrupted(shell: Shell) -> None:
    with _start("demo", "--port", "0", cwd=shell.directory) as process:
        url = next(match[0] for line in _lines(process) if "Serving on" in line and (match := _LISTENING.search(line)))
        with urllib.request.urlopen(f"{url}/healthz") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def _demo(shell: Shell) -> Any:
    said = _run_demo(shell, "--once")
    assert said.returncode == 0, said.stderr
    assert "simulat" in said.stderr
    return json.loads(said.stdout)


def _run_demo(shell: Shell, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--json", "--port", "0", *words],
        cwd=shell.directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
