"""The command line in a shell that names another directory than the gateway's: of the store, and of the policies."""

import os
import re
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from policy_sets import SHIPPED_SET, edited, write
from processes import gateway

from gateway.cli.main import main

OTHERS = edited(("price = 0.0085", "price = 0.01"))


@pytest.fixture(autouse=True)
def _shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("IMAGEGATE_", "EMPIRIOLABS_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def imagegate(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, words, env=environment, prog_name="imagegate")


@pytest.mark.parametrize(
    "words",
    [
        ["keys", "list"],
        ["keys", "show", "AAAAAAAAAAAA"],
        ["teams", "list"],
        ["budgets", "list"],
        ["jobs", "list"],
        ["spend"],
        ["workers", "list"],
        ["cache", "stats"],
    ],
)
def test_reading_makes_no_store(words: list[str], tmp_path: Path) -> None:
    refused = imagegate(*words)
    where = tmp_path / "home" / ".local" / "share" / "imagegate"
    told = f"Error: No store in {where}: is IMAGEGATE_DATA the gateway's? (no gateway runs on it)\n"
    assert (refused.exit_code, refused.stdout, refused.stderr) == (1, "", told)
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_named_itself_is_asked_after(tmp_path: Path) -> None:
    refused = imagegate("keys", "list", IMAGEGATE_STORE=f"sqlite://{tmp_path}/own/keys.db")
    assert f"No store in {tmp_path}/own: is IMAGEGATE_STORE the gateway's?" in refused.stderr


def test_a_store_that_writing_makes_is_told_once(tmp_path: Path) -> None:
    data = {"IMAGEGATE_DATA": str(tmp_path / "data")}
    first, second = (imagegate("keys", "create", "--team", team, "--budget", "1/day", **data) for team in "ab")
    assert (first.exit_code, first.stderr) == (0, f"made the store {tmp_path}/data/imagegate.db\n")
    assert (second.exit_code, second.stderr) == (0, "")
    for words, told in ((("teams", "show", "nobody"), "nobody"), (("jobs", "show", "job_nope"), "job_nope")):
        refused = imagegate(*words, **data)
        assert (refused.exit_code, told in refused.stderr) == (1, True)


def test_policies_of_another_directory_are_not_taken_for_the_gateways(tmp_path: Path) -> None:
    write(tmp_path / "its", SHIPPED_SET)
    write(tmp_path / "mine", OTHERS)
    with gateway(tmp_path, "http://127.0.0.1:9", IMAGEGATE_POLICIES="its") as process:
        shell = {"IMAGEGATE_DATA": process.environment["IMAGEGATE_DATA"]}
        mine = imagegate("policies", "show", IMAGEGATE_POLICIES="mine", **shell).stdout
        assert mine.endswith(f"The gateway reads {tmp_path}/its; these are the files of {tmp_path}/mine.\n")
        assert "SIGHUP" not in mine
        its = {**shell, "IMAGEGATE_POLICIES": str(tmp_path / "its")}
        assert re.search(r"in the running gateway +[0-9a-f]{16}\n$", imagegate("policies", "show", **its).stdout)
        write(tmp_path / "its", OTHERS)
        told = f"The files in {tmp_path}/its differ from what the gateway runs on. Send it SIGHUP.\n"
        assert imagegate("policies", "show", **its).stdout.endswith(told)
        assert "policies_from" not in httpx.get(f"{process.url}/readyz").json()


def test_the_simulators_help_fits_a_terminal() -> None:
    told = imagegate("simulator", "--help").stdout
    assert "top_output_strings" in told
    assert max(map(len, told.splitlines())) <= 80


def test_what_only_a_running_gateway_does_promises_no_store() -> None:
    assert "store" not in imagegate("log-level", "--help").stdout
    assert "store" in imagegate("keys", "list", "--help").stdout
