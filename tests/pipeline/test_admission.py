"""Admission over the real store: whom it lets in, that all whom it does not are told the same, and what it notes of use."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes import NOON, HandClock, RememberingTelemetry, until

from gateway.core import keys as key_form
from gateway.core.allowed import Allowed
from gateway.core.errors import InvalidApiKey
from gateway.core.rate import Defaults, Limit, Limits
from gateway.pipeline.admission import Admission, Caller
from gateway.pipeline.crew import Crew
from gateway.ports import Key, KeyTerms, StoreDown, TeamTerms
from gateway.stores.sqlite.store import SqliteStore, open_store

PEPPER, OLD_PEPPER = b"newest", b"older"
GRACE = 10_000


@dataclass
class Door:
    store: SqliteStore
    clock: HandClock
    crew: Crew
    telemetry: RememberingTelemetry
    admission: Admission
    key: Key
    token: str

    async def key_now(self) -> Key:
        found = await self.store.find_key(self.key.id)
        assert found is not None
        return found[0]

    async def reason(self, token: str | None = None) -> str | None:
        """Why the log says that it was refused; None: it was not."""
        try:
            await self.admission.identify(token or self.token)
        except InvalidApiKey as error:
            return error.reason
        return None

    async def rotate(self, pepper: bytes = PEPPER) -> str:
        """The new secret."""
        token = key_form.mint_for(self.key.id, secrets.choice)
        assert await self.store.rotate_key(self.key.id, key_form.digest(pepper, token), self.clock.now() + GRACE)
        return token

    async def noted(self) -> int | None:
        await until(lambda: not self.crew._tasks)
        return (await self.key_now()).last_used_at


@asynccontextmanager
async def opened(directory: Path, made_under: bytes = PEPPER) -> AsyncIterator[Door]:
    clock, telemetry = HandClock(), RememberingTelemetry()
    key_id, token = key_form.mint(secrets.choice)
    key = Key(key_id, "red", "", key_form.digest(made_under, token), NOON, models=("one",), most_images=2)
    async with open_store(directory / "imagegate.db") as store:
        await store.add_key(key)
        crew = Crew(clock, telemetry)
        yield Door(store, clock, crew, telemetry, Admission(store, (PEPPER, OLD_PEPPER), clock, crew), key, token)
        await until(lambda: not crew._tasks)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as door:
        yield door
        assert door.telemetry.failures == []


async def test_a_caller_is_its_key_its_team_and_what_it_may_ask_for(door: Door) -> None:
    caller = await door.admission.identify(door.token)
    assert caller == Caller(door.key.id, "red", Allowed(models=("one",), most_images=2))
    assert await door.admission.live(door.key.id) is not None


async def test_a_caller_is_under_its_own_limits_its_teams_and_the_policies(door: Door) -> None:
    defaults = Defaults(keys=Limits(60, 30), teams=Limits(images_in_flight=9))
    await door.store.change_key(door.key.id, KeyTerms(requests_per_minute=5, images_per_minute=0))
    await door.store.change_team("red", TeamTerms(images_per_minute=100))
    mine = f"key:{door.key.id}"
    assert (await door.admission.identify(door.token, defaults)).limits == (
        Limit(mine, "requests_per_minute", 5),
        Limit("team:red", "images_per_minute", 100),
        Limit("team:red", "images_in_flight", 9),
    )
    await door.store.change_key(door.key.id, KeyTerms(requests_per_minute=None, images_per_minute=None))
    assert (await door.admission.identify(door.token, defaults)).limits[:2] == (
        Limit(mine, "requests_per_minute", 60),
        Limit(mine, "images_per_minute", 30),
    )


async def _revoke(door: Door) -> None:
    await door.store.revoke_key(door.key.id, NOON)


async def _disable(door: Door) -> None:
    await door.store.change_key(door.key.id, KeyTerms(disabled=True))


async def _disable_team(door: Door) -> None:
    await door.store.change_team("red", TeamTerms(disabled=True))


async def _let_expire(door: Door) -> None:
    await door.store.change_key(door.key.id, KeyTerms(expires_at=NOON + 1000))
    await door.clock.advance(1)


GONE = [("revoked", _revoke), ("disabled", _disable), ("team_disabled", _disable_team), ("expired", _let_expire)]


@pytest.mark.parametrize(("reason", "do"), GONE)
async def test_a_key_that_is_gone_is_refused_as_an_unknown_one_and_its_urls_die(
    door: Door, reason: str, do: Callable[[Door], Awaitable[None]]
) -> None:
    await do(door)
    told = []
    for token in (door.token, key_form.mint(secrets.choice)[1], key_form.mint_for(door.key.id, secrets.choice), "junk"):
        with pytest.raises(InvalidApiKey) as refused:
            await door.admission.identify(token)
        told.append((refused.value.reason, refused.value.message, refused.value.code, refused.value.param))
    assert [one[0] for one in told] == [reason, "unknown", "unknown", "malformed"]
    assert len({one[1:] for one in told}) == 1
    assert await door.admission.live(door.key.id) is None
    assert await door.noted() is None


async def test_what_is_mended_is_let_in_again(door: Door) -> None:
    await _disable(door)
    await _disable_team(door)
    assert await door.reason() == "disabled"
    await door.store.change_key(door.key.id, KeyTerms(disabled=False))
    assert await door.reason() == "team_disabled"
    await door.store.change_team("red", TeamTerms(disabled=False))
    assert await door.reason() is None
    assert await door.admission.live(door.key.id) is not None


async def test_a_key_works_up_to_its_last_millisecond(door: Door) -> None:
    await door.store.change_key(door.key.id, KeyTerms(expires_at=NOON + 1000))
    await door.clock.advance(0.999)
    assert await door.reason() is None
    await door.clock.advance(0.001)
    assert await door.reason() == "expired"


async def test_both_secrets_work_until_the_grace_ends(door: Door) -> None:
    new = await door.rotate()
    await door.clock.advance(GRACE / 1000 - 0.001)
    assert (await door.reason(), await door.reason(new)) == (None, None)
    await door.clock.advance(0.001)
    assert (await door.reason(), await door.reason(new)) == ("rotated", None)


async def test_of_three_secrets_the_first_is_dead_at_once(door: Door) -> None:
    second = await door.rotate()
    third = await door.rotate()
    assert [await door.reason(token) for token in (door.token, second, third)] == ["unknown", None, None]


async def test_a_revoked_key_has_no_grace(door: Door) -> None:
    new = await door.rotate()
    await _revoke(door)
    assert [await door.reason(token) for token in (door.token, new)] == ["revoked", "revoked"]


async def test_each_secret_is_rehashed_in_its_own_place(tmp_path: Path) -> None:
    async with opened(tmp_path, made_under=OLD_PEPPER) as door:
        new = await door.rotate(OLD_PEPPER)
        digests = {token: key_form.digest(PEPPER, token) for token in (door.token, new)}
        assert await door.reason() is None
        key = await door.key_now()
        assert (key.digest, key.old_digest) == (key_form.digest(OLD_PEPPER, new), digests[door.token])
        assert await door.reason(new) is None
        key = await door.key_now()
        assert (key.digest, key.old_digest) == (digests[new], digests[door.token])
        assert (await door.reason(), await door.reason(new)) == (None, None)


async def test_a_use_is_noted_once_a_minute(door: Door) -> None:
    for seconds, noted in ((0, 0), (59.999, 0), (0.001, 60_000), (30, 60_000), (600, 690_000)):
        await door.clock.advance(seconds)
        assert [await door.reason() for _ in range(3)] == [None] * 3
        assert await door.noted() == NOON + noted


async def test_another_replica_has_noted_it_already(door: Door) -> None:
    await door.store.used_key(door.key.id, NOON + 1)
    assert await door.reason() is None
    assert await door.noted() == NOON + 1


async def test_a_note_that_fails_refuses_nobody(tmp_path: Path) -> None:
    class Down(SqliteStore):
        async def used_key(self, key_id: str, now: int) -> None:
            raise StoreDown("just now")

    async with opened(tmp_path) as door:
        admission = Admission(Down(door.store._writer), (PEPPER,), door.clock, door.crew)
        assert (await admission.identify(door.token)).team == "red"
        assert await door.noted() is None
        assert len(door.telemetry.failures) == 1


async def test_who_sends_no_key_is_told_how(door: Door) -> None:
    with pytest.raises(InvalidApiKey, match="Bearer") as refused:
        await door.admission.identify(None)
    assert (refused.value.reason, refused.value.key_id) == ("missing", None)


async def test_the_log_names_the_key_and_never_more(door: Door) -> None:
    await _revoke(door)
    with pytest.raises(InvalidApiKey) as refused:
        await door.admission.identify(door.token)
    assert refused.value.key_id == door.key.id
    assert door.token.rpartition("-")[2] not in repr(vars(refused.value))
