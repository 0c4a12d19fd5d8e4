"""`imagegate backup`: by each road, and never a half one, or over another."""

import asyncio
import json
import os
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from processes import ADMIN_KEY, gateway
from redis_server import RedisServer
from scripted_upstream import Answer, http, says_and_closes, scripted

from gateway.cli import backup as command
from gateway.cli.main import main
from gateway.ports.upkeep import SNAPSHOT_TYPE


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in [name for name in os.environ if name.startswith(("IMAGEGATE_", "EMPIRIOLABS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return {"IMAGEGATE_DATA": str(tmp_path / "data")}


@pytest.fixture
def alone(shell: dict[str, str]) -> dict[str, str]:
    """Settings of a gateway that has a store with a key, and does not run."""
    assert imagegate(shell, "keys", "create", "--team", "alpha", "--budget", "1/month").exit_code == 0
    return shell


def imagegate(shell: dict[str, str], *words: str, **settings: str) -> Result:
    return CliRunner().invoke(main, words, env={**shell, **settings})


def test_by_url_with_the_admin_key_alone(tmp_path: Path, shell: dict[str, str]) -> None:
    """The upstream is not asked by any of this, and need not be there."""
    with gateway(tmp_path, "http://127.0.0.1:9", IMAGEGATE_ADMIN_KEY=ADMIN_KEY) as process:
        remote = {**shell, "IMAGEGATE_DATA": str(tmp_path / "elsewhere")}
        done = imagegate(remote, "backup", "--url", process.url, "copy.db", IMAGEGATE_ADMIN_KEY=ADMIN_KEY)
        assert done.exit_code == 0, done.output
        assert "Pictures are not in it" in done.output
        assert (tmp_path / "copy.db").read_bytes().startswith(b"SQLite format 3\0")
        for wrong in ("a wrong admin key of at least thirty-two", ""):
            refused = imagegate(remote, "backup", "--url", process.url, "other.db", IMAGEGATE_ADMIN_KEY=wrong)
            assert refused.exit_code == 1
            assert "admin key" in refused.output
        assert httpx.get(f"{process.url}/admin/v1/backup").status_code == 401
    assert not (tmp_path / "other.db").exists()


def test_without_a_gateway(alone: dict[str, str], tmp_path: Path) -> None:
    done = imagegate(alone, "backup", "--json", "copy.db")
    assert json.loads(done.stdout) == {"file": "copy.db", "bytes": (tmp_path / "copy.db").stat().st_size}
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "copy.db").rename(tmp_path / "other" / "imagegate.db")
    listed = imagegate(alone, "keys", "list", "--json", IMAGEGATE_DATA=str(tmp_path / "other"))
    assert [key["team"] for key in json.loads(listed.stdout)["data"]] == ["alpha"]


def test_no_file_is_replaced_unasked(alone: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("a year of work")
    refused = imagegate(alone, "backup", "copy.db")
    assert refused.exit_code == 1
    assert "--force" in refused.output
    assert copy.read_text() == "a year of work"
    assert imagegate(alone, "backup", "--force", "copy.db").exit_code == 0
    assert copy.read_bytes().startswith(b"SQLite format 3\0")


def test_the_store_itself_is_never_replaced(alone: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "imagegate.db")
    for name in ("data/imagegate.db", "link.db"):
        refused = imagegate(alone, "backup", "--force", name)
        assert (refused.exit_code, "the store itself" in refused.output) == (1, True)


def test_nothing_is_made_where_nothing_is(shell: dict[str, str], tmp_path: Path) -> None:
    refused = imagegate(shell, "backup", "copy.db")
    assert refused.exit_code == 1
    assert "nothing to copy" in refused.output
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there(alone: dict[str, str]) -> None:
    refused = imagegate(alone, "backup", "nowhere/copy.db")
    assert refused.exit_code == 1
    assert "nowhere" in refused.output


def test_a_backup_that_would_fill_the_disk(
    alone: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_SPARE", 10**18)
    refused = imagegate(alone, "backup", "copy.db")
    assert (refused.exit_code, "do not fit" in refused.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    "answer",
    [
        says_and_closes(http(200, b"SQLite form", f"Content-Type: {SNAPSHOT_TYPE}", length=4096)),
        says_and_closes(http(200, b"<html>", "Content-Type: text/html")),
        says_and_closes(http(200, b"{}", "Content-Type: application/json")),
        says_and_closes(b""),
    ],
    ids=["cut", "a web site", "another API", "nothing"],
)
async def test_an_answer_that_is_no_whole_backup_replaces_nothing(
    answer: Answer, shell: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "copy.db").write_text("the last good one")
    async with scripted(answer) as other:
        words = ("backup", "--force", "--url", other.url, "copy.db")
        done = await asyncio.to_thread(imagegate, shell, *words, IMAGEGATE_ADMIN_KEY=ADMIN_KEY)
    assert done.exit_code == 1, done.output
    assert texts_in(tmp_path) == {"copy.db": "the last good one"}


def texts_in(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_redis_has_means_of_its_own(shell: dict[str, str], tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        settings = {"IMAGEGATE_STORE": server.url(), "IMAGEGATE_BLOBS": f"file://{tmp_path}/pictures"}
        refused = imagegate(shell, "backup", "copy.db", **settings)
    finally:
        server.kill()
    assert refused.exit_code == 1
    assert "BGSAVE" in refused.output
    assert not (tmp_path / "copy.db").exists()
