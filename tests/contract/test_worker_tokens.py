"""Worker tokens: kept, listed, and revoked for good."""

from dataclasses import replace

import pytest
from samples import NOON, Opening, Store

from gateway.ports import WorkerToken

TOKEN = WorkerToken("t1", "the “box”", b"\x00\xff digest", NOON)


async def test_a_token_is_found_as_it_was_added(store: Store) -> None:
    assert await store.worker_token("t1") is None
    await store.add_worker_token(TOKEN)
    assert await store.worker_token("t1") == TOKEN
    with pytest.raises(ValueError, match="t1 exists"):
        await store.add_worker_token(replace(TOKEN, name="another", digest=b"other"))
    assert await store.worker_token("t1") == TOKEN


async def test_they_are_listed_oldest_first(store: Store) -> None:
    assert await store.worker_tokens() == []
    tokens = [replace(TOKEN, id=name, created_at=NOON + age) for name, age in (("b", 0), ("c", 0), ("a", 5))]
    for token in reversed(tokens):
        await store.add_worker_token(token)
    assert await store.worker_tokens() == tokens


async def test_one_is_revoked_once_and_stays_so(opening: Opening) -> None:
    async with opening("one") as store:
        assert not await store.revoke_worker_token("t1", NOON)
        await store.add_worker_token(TOKEN)
        assert await store.revoke_worker_token("t1", NOON + 1)
        assert await store.revoke_worker_token("t1", NOON + 2)
    async with opening("one") as store:
        assert await store.worker_token("t1") == replace(TOKEN, revoked_at=NOON + 1)
