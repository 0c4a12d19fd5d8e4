"""Keys: found by id, whole with their models, revoked once, re-hashed, and the secret that is made once."""

import asyncio
from dataclasses import replace

import pytest
from samples import NOON, Opening, Store

from gateway.ports import Key

RED = Key("aaaaaaaaaaaa", "red", "laptop", b"\x00\xff digest", NOON)
BLUE = Key("bbbbbbbbbbbb", "blue", "ci", b"other", NOON + 1)


async def test_a_key_is_found_by_its_id(store: Store) -> None:
    await store.add_key(RED)
    await store.add_key(BLUE)
    assert await store.find_key(RED.id) == RED
    assert await store.find_key("cccccccccccc") is None


@pytest.mark.parametrize("models", [(), ("flux-2-klein-4b",), ("b/ü:free", 'a "quoted" one')])
async def test_a_key_keeps_its_models_and_their_order(store: Store, models: tuple[str, ...]) -> None:
    picky = replace(RED, models=models)
    await store.add_key(picky)
    await store.add_key(BLUE)
    await store.replace_digest(RED.id, b"new")
    assert await store.revoke_key(RED.id, NOON + 1)
    picky = replace(picky, digest=b"new", revoked_at=NOON + 1)
    assert await store.find_key(RED.id) == picky
    assert await store.list_keys() == [picky, BLUE]


async def test_keys_are_listed_by_age_and_team(store: Store) -> None:
    assert await store.list_keys() == []
    await store.add_key(BLUE)
    await store.add_key(RED)
    assert await store.list_keys() == [RED, BLUE]
    assert await store.list_keys("blue") == [BLUE]
    assert await store.list_keys("green") == []


async def test_revoking_twice_keeps_the_first_time(store: Store) -> None:
    await store.add_key(RED)
    assert not await store.revoke_key(BLUE.id, NOON)
    assert await store.revoke_key(RED.id, NOON + 1)
    assert await store.revoke_key(RED.id, NOON + 2)
    assert await store.find_key(RED.id) == replace(RED, revoked_at=NOON + 1)


async def test_a_digest_is_replaced_and_nothing_else(store: Store) -> None:
    await store.add_key(RED)
    await store.add_key(BLUE)
    await store.replace_digest(RED.id, b"new")
    assert await store.list_keys() == [replace(RED, digest=b"new"), BLUE]


async def test_the_first_secret_is_kept(store: Store) -> None:
    secrets = await asyncio.gather(*(store.secret(bytes([number]) * 32) for number in range(5)))
    assert len(set(secrets)) == 1
    assert secrets[0] in {bytes([number]) * 32 for number in range(5)}


async def test_asking_for_the_secret_makes_none(store: Store) -> None:
    assert await store.secret(None) is None
    kept = await store.secret(b"a" * 32)
    assert await store.secret(None) == kept == b"a" * 32


async def test_keys_and_secret_outlive_a_restart(opening: Opening) -> None:
    async with opening("kept") as store:
        await store.add_key(RED)
        kept = await store.secret(b"a" * 32)
    async with opening("kept") as store:
        assert await store.find_key(RED.id) == RED
        assert await store.secret(b"b" * 32) == kept
