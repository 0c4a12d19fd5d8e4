"""Teams: made once, with their first key or before it, listed by name, disabled and enabled again."""

import asyncio
from dataclasses import replace

from samples import NOON, Opening, Store

from gateway.ports import Key, Team, TeamTerms

RED = Team("red", NOON)
LAPTOP = Key("aaaaaaaaaaaa", "red", "laptop", b"digest", NOON + 7)


async def test_a_team_is_made_with_its_first_key(store: Store) -> None:
    await store.add_key(LAPTOP)
    await store.add_key(replace(LAPTOP, id="bbbbbbbbbbbb", created_at=NOON + 8))
    assert await store.list_teams() == [Team("red", NOON + 7)]
    assert await store.find_team("red") == Team("red", NOON + 7)
    assert await store.find_team("blue") is None


async def test_a_team_that_was_there_stays_as_it_is(store: Store) -> None:
    assert await store.add_team(replace(RED, disabled=True))
    assert not await store.add_team(RED)
    await store.add_key(LAPTOP)
    assert await store.find_team("red") == replace(RED, disabled=True)
    assert await store.find_key(LAPTOP.id) == (LAPTOP, replace(RED, disabled=True))


async def test_of_many_that_make_a_team_one_does(store: Store) -> None:
    made = await asyncio.gather(*(store.add_team(Team("red", NOON + number)) for number in range(5)))
    assert sorted(made) == [False, False, False, False, True]
    assert await store.find_team("red") == Team("red", NOON + made.index(True))


async def test_teams_are_listed_by_name(store: Store) -> None:
    assert await store.list_teams() == []
    for name in ("b", "a.b", "B", "a"):
        assert await store.add_team(Team(name, NOON))
    assert [team.name for team in await store.list_teams()] == ["B", "a", "a.b", "b"]


async def test_a_team_is_disabled_and_enabled_again(store: Store) -> None:
    await store.add_team(RED)
    await store.add_key(LAPTOP)
    for disabled in (True, False):
        assert await store.change_team("red", TeamTerms(disabled=disabled))
        assert await store.change_team("red", TeamTerms())
        assert await store.find_key(LAPTOP.id) == (LAPTOP, replace(RED, disabled=disabled))


async def test_a_teams_limits_change_one_by_one_and_are_found_with_its_keys(store: Store) -> None:
    team = replace(RED, requests_per_minute=60, images_per_minute=0)
    await store.add_team(team)
    await store.add_key(LAPTOP)
    for terms in (
        TeamTerms(images_in_flight=4),
        TeamTerms(requests_per_minute=None, images_per_minute=6),
        TeamTerms(disabled=True),
    ):
        assert await store.change_team("red", terms)
        team = terms.apply(team)
        assert await store.find_key(LAPTOP.id) == (LAPTOP, team)
        assert await store.find_team("red") == team
    assert team == replace(RED, images_per_minute=6, images_in_flight=4, disabled=True)


async def test_a_team_that_is_not_there_is_not_made_by_a_change(store: Store) -> None:
    assert not await store.change_team("red", TeamTerms(disabled=True))
    assert await store.list_teams() == []


async def test_teams_outlive_a_restart(opening: Opening) -> None:
    async with opening("kept") as store:
        await store.add_team(replace(RED, disabled=True))
    async with opening("kept") as store:
        assert await store.list_teams() == [replace(RED, disabled=True)]
