"""`imagegate spend` and `spend adjust` over a store with something in it: as table, CSV and JSON."""

import asyncio
import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from orders import A_CAT

from gateway.cli.main import main
from gateway.core.job import Attempt, Job
from gateway.pipeline.system_clock import SystemClock
from gateway.stores.sqlite.store import open_store

EVIL = '=HYPERLINK("http://evil","x")'


@dataclass(frozen=True)
class Spent:
    """A data directory in which one key has made two images for users of all kinds."""

    data: Path
    key: str

    def run(self, *words: str, **environment: str) -> Result:
        environment["IMAGEGATE_DATA"] = str(self.data)
        return CliRunner().invoke(main, words, env=environment, prog_name="imagegate")

    def out(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.out(*words, "--json"))


@pytest.fixture
def spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spent:
    monkeypatch.chdir(tmp_path)
    made = Spent(tmp_path / "data", "")
    key = made.json("keys", "create", "--team", "design", "--budget", "1/day")["id"]
    asyncio.run(_spend(made.data / "imagegate.db", key))
    return Spent(made.data, key)


async def _spend(path: Path, key: str) -> None:
    now = SystemClock().now()
    async with open_store(path) as store:
        for number, user in enumerate(["[bold]ann", EVIL]):
            attempt = Attempt(f"a{number}", f"j{number}", 0, "empiriolabs", 1, 7, 8500, now)
            job = Job(f"j{number}", key, "design", user, A_CAT, now, False, "", 0, (attempt,))
            assert await store.reserve(job) is None
            assert await store.settle(attempt.id, (), 8500, now)


def test_every_report_there_is(spent: Spent) -> None:
    today = spent.json("spend", "--by", "day")["data"][0]["group"]
    groups = {"team": ["design"], "key": [spent.key], "model": ["flux-2-klein-4b"], "day": [today]}
    for by, expected in (groups | {"user": [EVIL, "[bold]ann"]}).items():
        report = spent.json("spend", "--by", by, "--since", today)
        assert sorted(row["group"] for row in report["data"]) == sorted(expected)
        assert report["total"]["dollars"] == "0.017"
        table = spent.out("spend", "--by", by)
        assert all(group in table for group in expected)
        assert re.search(r"(?m)^total +0 +\$0\.017$", table)
    assert spent.json("spend", "--since", "2999-01-01")["data"] == []
    assert spent.out("spend", "--since", "2999-01-01") == "Nothing was spent.\n"


def test_jobs_are_listed_by_team(spent: Spent) -> None:
    assert {job["id"] for job in spent.json("jobs", "list", "--team", "design")["data"]} == {"j0", "j1"}
    assert spent.out("jobs", "list", "--team", "other") == "No such jobs.\n"


def test_csv_is_read_back_and_runs_nothing(spent: Spent) -> None:
    names, *rows = csv.reader(spent.out("spend", "--by", "user", "--csv").splitlines())
    assert names == ["user", "images", "microdollars", "dollars"]
    assert sorted(rows) == [["'" + EVIL, "0", "8500", "0.0085"], ["[bold]ann", "0", "8500", "0.0085"]]
    assert spent.out("spend", "--since", "2999-01-01", "--csv") == '"team","images","microdollars","dollars"\n'


def test_a_correction_is_booked_and_seen(spent: Spent) -> None:
    said = spent.out("spend", "adjust", "--key", spent.key, "-0.0035", "--reason", "billed twice")
    for line in (f"key +{spent.key}", "team +design", r"amount +-\$0\.0035", "reason +billed twice"):
        assert re.search(f"(?m)^{line}$", said)
    today = said.split()[-2]
    made = spent.json("spend", "adjust", "1.5", "--key", spent.key, "--reason", "a poster", "--day", today)
    assert made["amount"]["microdollars"] == 1_500_000
    assert spent.json("spend")["total"]["dollars"] == "1.5135"
    table = spent.out("spend", "--by", "user")
    assert re.search(r"(?m)^- +0 +\$1\.4965$", table)
    assert '"",0,1496500,1.4965\n' in spent.out("spend", "--by", "user", "--csv")
    (budget,) = spent.json("budgets", "list")["data"]
    assert (budget["spent"]["dollars"], budget["remaining"]["dollars"]) == ("1.5135", "0")


def test_a_correction_without_an_answer_tells_how_to_ask_again(spent: Spent) -> None:
    words = ("spend", "adjust", "1", "--key", spent.key, "--reason", "x")
    lost = spent.run(*words, "--url", "http://127.0.0.1:9", IMAGEGATE_ADMIN_KEY="k" * 32)
    told = re.search(r"--id (adj_\w+),", lost.stderr)
    assert (lost.exit_code, lost.stderr.splitlines()[-1].startswith("Error: ")) == (1, True)
    assert told
    made = [spent.json(*words, "--id", told[1]) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0]["id"] == told[1]
    assert spent.json("spend")["total"]["dollars"] == "1.017"
    refused = spent.run("spend", "adjust", "2", *words[3:], "--id", told[1])
    assert (refused.exit_code, "another adjustment" in refused.stderr) == (1, True)
    assert "--id" not in refused.stderr


def test_a_refused_correction_says_what_there_is(spent: Spent) -> None:
    refused = spent.run("spend", "adjust", "--key", spent.key, "-2", "--reason", "too much")
    assert (refused.exit_code, "$0.017" in refused.stderr) == (1, True)
    assert spent.json("spend")["total"]["dollars"] == "0.017"


def test_options_before_the_command_are_not_dropped_without_a_word(spent: Spent) -> None:
    words = ("spend", "--url", "http://127.0.0.1:9", "adjust", "1", "--key", spent.key, "--reason", "x")
    refused = spent.run(*words)
    assert (refused.exit_code, "write --url after adjust" in refused.stderr) == (2, True)
    assert spent.json("spend")["total"]["dollars"] == "0.017"
