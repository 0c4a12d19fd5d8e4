"""Root's command line on a data directory of another user's, as with systemd's DynamicUser: beside the gateway and alone."""

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from processes import gateway, manage

from gateway.cli.main import main
from gateway.edge.admin_socket import is_trusted
from gateway.stores.sqlite.store import open_store

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="wants root, who alone can give files to another user")
OWNER, STRANGER = 12345, 54321


def give(directory: Path, owner: int) -> None:
    for path in (directory, *directory.rglob("*")):
        os.lchown(path, owner, owner)


def owners(directory: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_uid for path in (directory, *directory.rglob("*"))}


def a_key_is_made(data: Path) -> None:
    words = ["keys", "create", "--team", "design", "--json"]
    done = CliRunner().invoke(main, words, env={"IMAGEGATE_DATA": str(data)})
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["team"] == "design"


def test_root_asks_the_gateway_of_another_user(tmp_path: Path) -> None:
    with gateway(tmp_path, "http://127.0.0.1:9") as process:
        give(tmp_path / "data", OWNER)
        made = manage(
            process, "keys", "create", "--team", "design"
        )  # its store is locked: nobody else can have made it
        assert (made["team"], process.stop()) == ("design", 0)


def test_what_root_does_alone_stays_the_owners(tmp_path: Path) -> None:
    async def make() -> None:
        async with open_store(tmp_path / "imagegate.db"):
            pass

    asyncio.run(make())
    give(tmp_path, OWNER)
    a_key_is_made(tmp_path)
    assert set(owners(tmp_path).values()) == {OWNER}


def test_a_store_that_root_makes_is_the_directorys_owners(tmp_path: Path) -> None:
    give(tmp_path, OWNER)
    a_key_is_made(tmp_path)
    assert (owners(tmp_path)["imagegate.db"], set(owners(tmp_path).values())) == (OWNER, {OWNER})


@pytest.mark.parametrize(
    ("asks", "listens", "trusted"),
    [(0, OWNER, True), (0, STRANGER, False), (OWNER, OWNER, True), (STRANGER, OWNER, False), (STRANGER, 0, True)],
)
def test_whose_socket_is_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks: int, listens: int, *, trusted: bool
) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    give(tmp_path, OWNER)
    os.chown(path, listens, listens)
    monkeypatch.setattr(os, "geteuid", lambda: asks)
    assert is_trusted(path, tmp_path) is trusted
