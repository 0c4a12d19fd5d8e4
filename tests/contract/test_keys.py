"""Keys: found by id, whole with their team, changed, rotated and revoked without undoing each other, and the secret."""

import asyncio
from dataclasses import fields, replace

import pytest
from redis_server import RedisServer
from samples import NOON, Opening, Store

from gateway.ports import Key, KeyTerms, Team, TeamTerms
from gateway.stores.redis.store import RedisStore, open_redis_store

RED = Key("aaaaaaaaaaaa", "red", "laptop", b"\x00\xff digest", NOON)
BLUE = Key("bbbbbbbbbbbb", "blue", "ci", b"other", NOON + 1)
#: Nothing of it as it is by default.
WHOLE = Key(
    id="cccccccccccc",
    team="red",
    name="ü [bold]",
    digest=b"digest",
    created_at=NOON,
    revoked_at=NOON + 5,
    models=("b/ü:free", 'a "quoted" one'),
    endpoints=("variation", "edit"),
    most_images=3,
    most_pixels=1_048_576,
    expires_at=NOON + 6,
    disabled=True,
    made_by="local",
    last_used_at=NOON + 2,
    old_digest=b"\xff\x00 old",
    old_until=NOON + 4,
    requests_per_minute=60,
    images_per_minute=0,
    images_in_flight=4,
)


async def found(store: Store, key_id: str) -> Key:
    pair = await store.find_key(key_id)
    assert pair is not None
    return pair[0]


async def test_a_key_is_found_by_its_id_with_its_team(store: Store) -> None:
    await store.add_key(RED)
    await store.add_key(BLUE)
    assert await store.find_key(RED.id) == (RED, Team("red", NOON))
    assert await store.find_key("cccccccccccc") is None


async def test_a_key_is_kept_whole(store: Store) -> None:
    plain = Key("", "", "", b"", 0)
    assert not [field.name for field in fields(Key) if getattr(WHOLE, field.name) == getattr(plain, field.name)]
    await store.add_key(WHOLE)
    assert await found(store, WHOLE.id) == WHOLE
    assert await store.list_keys() == [WHOLE]


async def test_an_id_is_taken_once(store: Store) -> None:
    await store.add_key(RED)
    with pytest.raises(Exception, match=r"(?i)unique|exists"):
        await store.add_key(replace(BLUE, id=RED.id))
    assert await store.list_keys() == [RED]


async def test_keys_are_listed_by_age_and_team(store: Store) -> None:
    assert await store.list_keys() == []
    await store.add_key(BLUE)
    await store.add_key(RED)
    assert await store.list_keys() == [RED, BLUE]
    assert await store.list_keys("blue") == [BLUE]
    assert await store.list_keys("green") == []


@pytest.mark.parametrize(
    "terms",
    [
        KeyTerms(),
        KeyTerms(name=""),
        KeyTerms(models=("flux-2-klein-4b",)),
        KeyTerms(models=(), endpoints=()),
        KeyTerms(endpoints=("generation",)),
        KeyTerms(most_images=1, most_pixels=65_536),
        KeyTerms(most_images=None, most_pixels=None, expires_at=None),
        KeyTerms(expires_at=NOON + 9),
        KeyTerms(disabled=False),
        KeyTerms(requests_per_minute=0, images_in_flight=None),
        KeyTerms(images_per_minute=1_000_000),
    ],
)
async def test_a_change_touches_only_what_it_says(store: Store, terms: KeyTerms) -> None:
    await store.add_key(WHOLE)
    await store.add_key(RED)
    assert await store.change_key(WHOLE.id, terms)
    assert await found(store, WHOLE.id) == terms.apply(WHOLE)
    assert await found(store, RED.id) == RED


async def test_what_races_with_a_change_is_not_undone_by_it(store: Store) -> None:
    """Nor does the change lose anything: whichever of them is first, all have happened in the end."""
    await store.add_key(RED)
    await asyncio.gather(
        store.change_key(RED.id, KeyTerms(name="a")),
        store.rotate_key(RED.id, b"new", NOON + 3),
        store.change_key(RED.id, KeyTerms(disabled=True)),
        store.revoke_key(RED.id, NOON + 1),
        store.change_key(RED.id, KeyTerms(most_images=2)),
        store.used_key(RED.id, NOON + 2),
        store.change_key(RED.id, KeyTerms(models=("one",))),
        store.change_key(RED.id, KeyTerms(images_per_minute=6)),
    )
    assert await found(store, RED.id) == replace(
        RED,
        name="a",
        digest=b"new",
        old_digest=RED.digest,
        old_until=NOON + 3,
        disabled=True,
        revoked_at=NOON + 1,
        most_images=2,
        last_used_at=NOON + 2,
        models=("one",),
        images_per_minute=6,
    )


async def test_what_is_not_there_is_not_made_by_a_change(store: Store) -> None:
    assert not await store.change_key(RED.id, KeyTerms(name="a"))
    assert not await store.rotate_key(RED.id, b"new", NOON)
    assert not await store.revoke_key(RED.id, NOON)
    await store.used_key(RED.id, NOON)
    await store.replace_digest(RED.id, b"old", b"new")
    assert await store.find_key(RED.id) is None
    assert await store.list_keys() == []


async def test_revoking_twice_keeps_the_first_time(store: Store) -> None:
    await store.add_key(RED)
    assert await store.revoke_key(RED.id, NOON + 1)
    assert await store.revoke_key(RED.id, NOON + 2)
    assert await found(store, RED.id) == replace(RED, revoked_at=NOON + 1)


async def test_rotating_again_forgets_the_oldest_secret(store: Store) -> None:
    await store.add_key(RED)
    assert await store.rotate_key(RED.id, b"second", NOON + 10)
    assert await found(store, RED.id) == replace(RED, digest=b"second", old_digest=RED.digest, old_until=NOON + 10)
    assert await store.rotate_key(RED.id, b"third", NOON + 5)
    assert await found(store, RED.id) == replace(RED, digest=b"third", old_digest=b"second", old_until=NOON + 5)


async def test_a_later_use_is_kept_whichever_is_told_last(store: Store) -> None:
    await store.add_key(RED)
    for at in (NOON + 2, NOON + 1):
        await store.used_key(RED.id, at)
    assert await found(store, RED.id) == replace(RED, last_used_at=NOON + 2)


async def test_a_digest_is_replaced_and_nothing_else(store: Store) -> None:
    await store.add_key(RED)
    await store.add_key(BLUE)
    await store.replace_digest(RED.id, RED.digest, b"new")
    assert await store.list_keys() == [replace(RED, digest=b"new"), BLUE]


async def test_a_digest_that_was_rotated_meanwhile_is_replaced_where_it_went(store: Store) -> None:
    """Whoever came with the old secret must not have it put back in the new one's place."""
    await store.add_key(RED)
    assert await store.rotate_key(RED.id, b"second", NOON + 10)
    await store.replace_digest(RED.id, RED.digest, b"again")
    assert await found(store, RED.id) == replace(RED, digest=b"second", old_digest=b"again", old_until=NOON + 10)
    assert await store.rotate_key(RED.id, b"third", NOON + 10)
    await store.replace_digest(RED.id, b"again", b"lost")
    assert await found(store, RED.id) == replace(RED, digest=b"third", old_digest=b"second", old_until=NOON + 10)


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
        await store.add_key(WHOLE)
        kept = await store.secret(b"a" * 32)
    async with opening("kept") as store:
        assert await found(store, WHOLE.id) == WHOLE
        assert await store.secret(b"b" * 32) == kept


async def test_what_another_replica_does_to_a_key_is_seen_at_once(
    redis_server: RedisServer, redis_store: RedisStore
) -> None:
    async with open_redis_store(redis_server.url()) as other:
        await other.add_key(RED)
        known = await redis_store.find_key(RED.id)
        assert await redis_store.find_key(RED.id) is known
        for change in (
            other.change_team("red", TeamTerms(disabled=True)),
            other.change_key(RED.id, KeyTerms(name="desktop")),
            other.rotate_key(RED.id, b"new", NOON + 1),
            other.used_key(RED.id, NOON + 1),
            other.revoke_key(RED.id, NOON + 2),
        ):
            await change
            before, known = known, await redis_store.find_key(RED.id)
            assert known == await other.find_key(RED.id) != before
