"""The stores under test: another implementation is one more parameter here, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from samples import Opening, Store

from gateway.ports import Blobs
from gateway.stores.blobs import open_blobs
from gateway.stores.sqlite.store import open_store


@pytest.fixture(params=["sqlite"])
def opening(tmp_path: Path) -> Opening:
    def at(name: str) -> AbstractAsyncContextManager[Store]:
        return open_store(tmp_path / "data" / f"{name}.db")

    return at


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    async with opening("one") as store:
        yield store
        assert await store.drift() == 0
        assert await store.drift(full=True) == 0


@pytest.fixture(params=["files"])
async def blobs(tmp_path: Path) -> AsyncIterator[Blobs]:
    async with open_blobs(tmp_path / "pictures") as blobs:
        yield blobs
