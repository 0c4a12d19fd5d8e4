"""The administrator's desk: a module that says `pytest_plugins = ["desks"]` has its fixtures."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from admin_desk import Desk

from gateway.stores.sqlite.store import open_store


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_store(tmp_path / "imagegate.db") as store:
        yield Desk(store)
        assert await store.drift(full=True) == 0


@pytest.fixture
async def admin(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with desk.over_socket() as client:
        yield client
