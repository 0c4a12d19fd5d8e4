"""Teams and keys over the real store: made, changed, rotated, revoked, and what is refused of that."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import NOON, HandClock, RememberingTelemetry
from house import packaged

from gateway.core import keys as key_form
from gateway.core.errors import InvalidRequest, NotFound
from gateway.pipeline.administration import Administration
from gateway.pipeline.in_force import InForce
from gateway.pipeline.spending import Spending
from gateway.pipeline.worker_administration import WorkerAdministration
from gateway.ports import KeyTerms, Team, TeamTerms
from gateway.stores.sqlite.store import open_store

PEPPER = b"pepper of these tests"
MODEL = "flux-2-klein-4b"
DAY = 86_400_000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def office(tmp_path: Path, clock: HandClock) -> AsyncIterator[Administration]:
    async with open_store(tmp_path / "imagegate.db") as store:
        yield Administration(
            keys=store,
            ledger=store,
            jobs=store,
            cache=store,
            workers=WorkerAdministration(store.queue(clock), store, clock, b"pepper of workers"),
            spending=Spending(store, clock, RememberingTelemetry()),
            policies=InForce(packaged()),
            clock=clock,
            pepper=PEPPER,
        )


async def test_only_the_digest_of_a_key_is_kept(office: Administration, tmp_path: Path) -> None:
    key, secret = await office.create_key("design", "laptop", ["25/month", "1.50/day"])
    assert key_form.key_id(secret) == key.id
    assert (await office.key(key.id))[0].digest == key_form.digest(PEPPER, secret)
    budgets = await office.budgets([f"key:{key.id}"])
    assert {(state.window, state.limit) for state in budgets} == {("month", 25_000_000), ("day", 1_500_000)}
    assert secret.rpartition("-")[2].encode() not in _bytes_in(tmp_path)


@pytest.mark.parametrize(
    ("team", "name", "budgets", "param"),
    [
        ("", "", [], "team"),
        ("a team", "", [], "team"),
        ("x" * 65, "", [], "team"),
        (".", "", [], "team"),
        ("..", "", [], "team"),
        ("design\n", "", [], "team"),
        ("design", "x" * 65, [], "name"),
        ("design", "bell\a", [], "name"),
        ("design", "", ["25"], "budgets"),
        ("design", "", ["-1/day"], "budgets"),
        ("design", "", ["1/day", "2/day"], "budgets"),
    ],
)
async def test_a_wrong_key_request_is_refused_by_field_and_leaves_nothing(
    office: Administration, team: str, name: str, budgets: list[str], param: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await office.create_key(team, name, budgets)
    assert refused.value.param == param
    assert not await office.keys()
    assert not await office.budgets()


async def test_a_key_names_each_of_its_models_once(office: Administration) -> None:
    key, _ = await office.create_key("design", "", [], KeyTerms(models=(MODEL, MODEL)))
    assert key.models == (MODEL,)
    assert (await office.key(key.id))[0].models == (MODEL,)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", f"'' is no model here: there are {MODEL}"),
        ("flux-3", f"'flux-3' is no model here: there are {MODEL}"),
        ("x" * 100, f"'{'x' * 64}' is no model here"),
        ("gpt-image-2", f"'gpt-image-2' is an alias: write {MODEL}"),
        ("gpt-image-*", f"'gpt-image-*' is an alias: write {MODEL}"),
    ],
)
async def test_a_key_is_made_for_real_models_alone(office: Administration, name: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(told)) as refused:
        await office.create_key("design", "", ["1/day"], KeyTerms(models=(MODEL, name)))
    assert (refused.value.status, refused.value.param) == (400, "models")
    assert not await office.keys()
    assert not await office.budgets()


async def test_a_crash_while_creating_leaves_no_key_without_its_budget(office: Administration) -> None:
    """Two keys of one id: the second `add_key` fails, and its budget was there before it."""
    choose = min  # always the first of the alphabet, so the second key collides
    await office.create_key("design", "", [], choose=choose)
    with pytest.raises(Exception, match="UNIQUE"):
        await office.create_key("design", "", ["1/day"], choose=choose)
    assert [state.limit for state in await office.budgets()] == [1_000_000]


async def test_revoking_twice_keeps_the_first_time(office: Administration) -> None:
    key, _ = await office.create_key("design", "", [])
    assert (await office.revoke(key.id))[0].revoked_at == NOON
    assert (await office.revoke(key.id))[0].revoked_at == NOON
    with pytest.raises(NotFound):
        await office.revoke("AAAAAAAAAAAA")


async def test_a_key_has_the_terms_it_was_made_with(office: Administration) -> None:
    terms = KeyTerms(
        endpoints=("edit", "edit"), most_images=2, most_pixels=65_536, expires_at=office.expiry("30d"), disabled=True
    )
    key, _ = await office.create_key("design", "ci", [], terms, made_by="local")
    assert (key.name, key.endpoints, key.most_images, key.most_pixels) == ("ci", ("edit",), 2, 65_536)
    assert (key.expires_at, key.disabled, key.made_by, key.last_used_at) == (NOON + 30 * DAY, True, "local", None)
    assert await office.key(key.id) == (key, "disabled")


async def test_a_key_says_why_it_is_refused(office: Administration, clock: HandClock) -> None:
    key, _ = await office.create_key("design", "", [], KeyTerms(expires_at=office.expiry("1d")))
    other, _ = await office.create_key("design", "", [])
    assert [state for _, state in await office.keys()] == ["active", "active"]
    await office.change_team("design", TeamTerms(disabled=True))
    assert [state for _, state in await office.keys("design")] == ["team_disabled", "team_disabled"]
    assert (await office.change_key(key.id, KeyTerms(disabled=True)))[1] == "disabled"
    await clock.advance(86_399)
    assert (await office.key(key.id))[1] == "disabled"
    await clock.advance(1)
    assert (await office.key(key.id))[1] == "expired"
    assert (await office.revoke(key.id))[1] == "revoked"
    await office.change_team("design", TeamTerms(disabled=False))
    assert (await office.key(other.id))[1] == "active"


async def test_a_change_takes_limits_away_and_leaves_the_rest(office: Administration) -> None:
    key, _ = await office.create_key("design", "ci", [], KeyTerms(models=(MODEL,), most_images=2))
    changed, _ = await office.change_key(key.id, KeyTerms(models=(), name="laptop"))
    assert changed == replace(key, models=(), name="laptop")
    assert (await office.change_key(key.id, KeyTerms(most_images=None)))[0].allowed == replace(
        key.allowed, models=(), most_images=None
    )


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        (KeyTerms(name="bell\a"), "name"),
        (KeyTerms(models=("flux-3",)), "models"),
        (KeyTerms(most_pixels=65_535), "max_pixels"),
    ],
)
async def test_a_wrong_change_is_refused_by_field_and_changes_nothing(
    office: Administration, terms: KeyTerms, param: str
) -> None:
    key, _ = await office.create_key("design", "", [])
    with pytest.raises(InvalidRequest) as refused:
        await office.change_key(key.id, replace(terms, disabled=True))
    assert refused.value.param == param
    assert await office.key(key.id) == (key, "active")


async def test_what_has_no_end_to_come_is_no_expiry(office: Administration) -> None:
    for text in ("soon", "2026-11-21"):
        with pytest.raises(InvalidRequest) as refused:
            office.expiry(text)
        assert refused.value.param == "expires"


async def test_a_rotated_key_keeps_its_id_and_its_old_secret_for_the_grace(office: Administration) -> None:
    key, first = await office.create_key("design", "", ["1/day"], KeyTerms(models=(MODEL,)))
    rotated, state, second = await office.rotate(key.id, "24h")
    assert state == "active"
    assert key_form.key_id(second) == key_form.key_id(first) == key.id
    assert second != first
    assert rotated == replace(key, digest=key_form.digest(PEPPER, second), old_digest=key.digest, old_until=NOON + DAY)


@pytest.mark.parametrize("grace", ["", "24", "-1h", "31d", "999999999w"])
async def test_what_is_no_grace_rotates_nothing(office: Administration, grace: str) -> None:
    key, _ = await office.create_key("design", "", [])
    with pytest.raises(InvalidRequest) as refused:
        await office.rotate(key.id, grace)
    assert refused.value.param == "grace"
    assert (await office.key(key.id))[0] == key


async def test_a_revoked_key_is_not_rotated_and_stays_revoked(office: Administration) -> None:
    key, _ = await office.create_key("design", "", [])
    await office.revoke(key.id)
    with pytest.raises(InvalidRequest, match="revoked"):
        await office.rotate(key.id, "0")
    assert (await office.change_key(key.id, KeyTerms(disabled=False)))[1] == "revoked"


async def test_an_unknown_key_is_not_found_whatever_is_asked_of_it(office: Administration) -> None:
    unknown = "AAAAAAAAAAAA"
    for asked in (
        office.key(unknown),
        office.change_key(unknown, KeyTerms(disabled=True)),
        office.rotate(unknown, "0"),
        office.revoke(unknown),
    ):
        with pytest.raises(NotFound) as refused:
            await asked
        assert refused.value.code == "key_not_found"


async def test_a_team_is_made_once_and_keeps_its_budgets(office: Administration) -> None:
    assert await office.create_team("design", ["5/day"]) == Team("design", NOON)
    with pytest.raises(InvalidRequest, match="already") as refused:
        await office.create_team("design", ["900/day"])
    assert refused.value.param == "name"
    assert [state.limit for state in await office.budgets(["team:design"])] == [5_000_000]
    await office.set_budgets("team:later", ["7/day"])
    await office.create_team("later", [])
    assert [state.limit for state in await office.budgets(["team:later"])] == [7_000_000]
    assert [team.name for team in await office.teams()] == ["design", "later"]


@pytest.mark.parametrize(("name", "budgets", "param"), [("a b", [], "name"), ("a", ["5"], "budgets")])
async def test_a_wrong_team_is_refused_by_field_and_leaves_nothing(
    office: Administration, name: str, budgets: list[str], param: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await office.create_team(name, budgets)
    assert refused.value.param == param
    assert not await office.teams()


async def test_an_unknown_team_is_not_found(office: Administration) -> None:
    for asked in (office.team("design"), office.change_team("design", TeamTerms(disabled=True))):
        with pytest.raises(NotFound) as refused:
            await asked
        assert refused.value.code == "team_not_found"


def _bytes_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())
