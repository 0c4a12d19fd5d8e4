"""`imagegate workers` over the store itself, where no gateway runs."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.core import keys as key_form


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("IMAGEGATE_", "EMPIRIOLABS_", "XDG_RUNTIME_DIR"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMAGEGATE_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def run(*words: str) -> str:
    result = CliRunner().invoke(main, ["workers", *words], prog_name="imagegate")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_token_is_made_shown_once_listed_and_revoked() -> None:
    made = json.loads(run("token", "create", "--name", "the box", "--json"))
    secret = made.pop("secret")
    assert key_form.key_id(secret, key_form.WORKER_PREFIX) == made["id"]
    assert json.loads(run("list", "--json")) == {"data": [], "tokens": [made]}
    shown = run("list")
    assert "No worker is there" in shown
    assert all(part in shown for part in (made["id"], "the box", "active"))
    assert secret[-38:] not in shown
    assert "revoked 20" in run("token", "revoke", made["id"])
    assert json.loads(run("list", "--json"))["tokens"][0]["revoked_at"] is not None


def test_a_token_for_a_person_comes_with_what_to_do_with_it() -> None:
    said = run("token", "create")
    assert "secret   ig-worker-" in said
    assert "IMAGEGATE_WORKER_TOKEN" in said
    assert "No tokens yet" not in run("list")


def test_a_token_that_is_not_there_cannot_be_revoked() -> None:
    result = CliRunner().invoke(main, ["workers", "token", "revoke", "x"], prog_name="imagegate")
    assert (result.exit_code, "there is no worker token 'x'" in result.output) == (1, True)
