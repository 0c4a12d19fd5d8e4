"""/admin/v1/backup and /admin/v1/doctor over ASGI: what their answers are, and what is said where there is none."""

import asyncio
from pathlib import Path

import httpx
import pytest
from admin_desk import Desk

from gateway.core.health import Check, Finding
from gateway.ports.upkeep import SNAPSHOT_TYPE
from gateway.stores.sqlite import upkeep
from gateway.stores.sqlite.store import open_store

pytest_plugins = ["desks"]


async def test_a_backup_is_the_stores_bytes_with_their_length(
    desk: Desk, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    kept = await desk.store.secret(b"s" * 32)
    answer = await admin.get("/backup")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == SNAPSHOT_TYPE
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    await asyncio.to_thread((tmp_path / "copy.db").write_bytes, answer.content)
    async with open_store(tmp_path / "copy.db") as copy:
        assert await copy.secret(None) == kept


async def test_a_store_that_makes_no_copy_says_why(admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SPARE", 10**18)
    answer = await admin.get("/backup")
    assert answer.status_code == 400
    assert "free" in answer.json()["error"]["message"]


async def test_findings_come_with_the_exit_status_of_the_first_failure(desk: Desk, admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/doctor")).json() == {"status": 0, "data": []}
    desk.findings = [
        Finding(Check.STORE, "ok", "fine"),
        Finding(Check.DISK, "fail", "full", "Make room."),
        Finding(Check.CLOCK, "fail", "late", "Synchronise it."),
    ]
    said = (await admin.get("/doctor")).json()
    assert said["status"] == 15
    assert said["data"][1] == {"check": "disk", "verdict": "fail", "found": "full", "advice": "Make room."}
