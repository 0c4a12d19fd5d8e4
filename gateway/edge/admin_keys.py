"""/admin/v1/keys: who may ask. A secret is told when it is made, and never again."""

from dataclasses import replace

from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.edge.admin_answers import Listing
from gateway.edge.admin_key_answers import KeyShape
from gateway.edge.admin_key_asks import ChangedKey, KeysQuery, NewKey, Rotation
from gateway.edge.exchange import Call
from gateway.pipeline.administration import Administration
from gateway.ports import Key, KeyState


@post("/keys")
async def create_key(request: Call, administration: NamedDependency[Administration]) -> KeyShape:
    asked = NewKey.from_json(await request.body())
    made_by = "local" if request.scope["state"]["admin_socket"] else "admin-key"
    key, secret = await administration.create_key(
        asked.team, asked.name, asked.budgets, asked.terms(administration.expiry), made_by=made_by
    )
    warnings = []
    if await administration.unlimited(key):
        warnings.append(f"no budget limits this key: set one for org, team:{key.team} or key:{key.id}")
    shape = await _shape(administration, await administration.key(key.id))
    return replace(shape, secret=secret, warnings=warnings)


@get("/keys")
async def list_keys(request: Call, administration: NamedDependency[Administration]) -> Listing[KeyShape]:
    keys = await administration.keys(KeysQuery.from_query(request.query_params).team)
    budgets = await administration.budgets()
    return Listing([KeyShape.of(key, state, budgets) for key, state in keys])


@get("/keys/{key_id:str}")
async def show_key(key_id: FromPath[str], administration: NamedDependency[Administration]) -> KeyShape:
    return await _shape(administration, await administration.key(key_id))


@patch("/keys/{key_id:str}")
async def change_key(request: Call, key_id: FromPath[str], administration: NamedDependency[Administration]) -> KeyShape:
    asked = ChangedKey.from_json(await request.body())
    changed = await administration.change_key(key_id, asked.terms(administration.expiry))
    return await _shape(administration, changed)


@post("/keys/{key_id:str}/rotate", status_code=200)
async def rotate_key(request: Call, key_id: FromPath[str], administration: NamedDependency[Administration]) -> KeyShape:
    asked = Rotation.from_json(await request.body())
    # before the rotation: a store that goes down after it would lose the secret
    budgets = await administration.budgets([f"key:{key_id}"])
    key, state, secret = await administration.rotate(key_id, asked.grace, force=asked.force)
    return replace(KeyShape.of(key, state, budgets), secret=secret)


@post("/keys/{key_id:str}/revoke", status_code=200)
async def revoke_key(key_id: FromPath[str], administration: NamedDependency[Administration]) -> KeyShape:
    return await _shape(administration, await administration.revoke(key_id))


async def _shape(administration: Administration, found: tuple[Key, KeyState]) -> KeyShape:
    key, state = found
    return KeyShape.of(key, state, await administration.budgets([f"key:{key.id}"]))
