"""/admin/v1/teams: who pays."""

from collections import Counter

from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.edge.admin_answers import Listing
from gateway.edge.admin_key_answers import TeamShape
from gateway.edge.admin_key_asks import ChangedTeam, NewTeam
from gateway.edge.exchange import Call
from gateway.pipeline.administration import Administration
from gateway.ports import Team


@post("/teams")
async def create_team(request: Call, administration: NamedDependency[Administration]) -> TeamShape:
    asked = NewTeam.from_json(await request.body())
    return await _shape(administration, await administration.create_team(asked.name, asked.budgets))


@get("/teams")
async def list_teams(administration: NamedDependency[Administration]) -> Listing[TeamShape]:
    keys = Counter(key.team for key, _ in await administration.keys())
    budgets = await administration.budgets()
    return Listing([TeamShape.of(team, keys[team.name], budgets) for team in await administration.teams()])


@get("/teams/{name:str}")
async def show_team(name: FromPath[str], administration: NamedDependency[Administration]) -> TeamShape:
    return await _shape(administration, await administration.team(name))


@patch("/teams/{name:str}")
async def change_team(request: Call, name: FromPath[str], administration: NamedDependency[Administration]) -> TeamShape:
    asked = ChangedTeam.from_json(await request.body())
    return await _shape(administration, await administration.change_team(name, asked.terms()))


async def _shape(administration: Administration, team: Team) -> TeamShape:
    keys = await administration.keys(team.name)
    return TeamShape.of(team, len(keys), await administration.budgets([f"team:{team.name}"]))
