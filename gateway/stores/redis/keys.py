"""Keys and teams at rest, and the installation's own secret."""

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import msgspec
from msgspec import UNSET

from gateway.ports import Key, Keys, KeyTerms, Team, TeamTerms
from gateway.stores.redis.line import PREFIX
from gateway.stores.redis.link import Link
from gateway.stores.redis.port import RedisPort
from gateway.stores.redis.rows import to_flat, to_json, to_row
from gateway.stores.redis.unanswered import Unanswered

_SECRET = PREFIX + "secret"
_KEY, _TEAM = msgspec.json.Decoder(Key), msgspec.json.Decoder(Team)
_Row = TypeVar("_Row", Key, Team)


class RedisKeys(RedisPort, Keys):
    def __init__(self, link: Link, unanswered: Unanswered) -> None:
        super().__init__(link, unanswered)
        #: every key that was found, with the text that it was read from: the store says the same of it again and again
        self._found: dict[str, tuple[list[bytes], tuple[Key, Team]]] = {}

    async def add_key(self, key: Key) -> None:
        with self._unanswered.token("add_key", key.id) as token:
            added = await self._link.script(
                "add_key",
                "add_key",
                {
                    "id": key.id,
                    "token": token,
                    "created_at": key.created_at,
                    "team": key.team,
                    "fields": [*to_flat(key), ".team", key.team],
                    "team_fields": to_flat(Team(key.team, key.created_at)),
                },
            )
        if not added:
            raise ValueError(f"the key {key.id} exists")

    async def find_key(self, key_id: str) -> tuple[Key, Team] | None:
        told = await self._link.script("find_key", "find_key", {"id": key_id})
        if told is None:
            return None
        known = self._found.get(key_id)
        if known is None or known[0] != told:
            key, team = told
            known = self._found[key_id] = told, (_KEY.decode(key), _TEAM.decode(team))
        return known[1]

    async def list_keys(self, team: str | None = None) -> Sequence[Key]:
        """Oldest first."""
        index = "keys" if team is None else f"keys:team:{team}"
        return await self._list("list_keys", index, "key", Key)

    async def change_key(self, key_id: str, terms: KeyTerms) -> bool:
        return await self._change("change_key", f"key:{key_id}", terms)

    async def rotate_key(self, key_id: str, digest: bytes, old_until: int) -> bool:
        with self._unanswered.token("rotate_key", key_id, digest.hex()) as token:
            question = {"id": key_id, "digest": to_json(digest), "old_until": to_json(old_until), "token": token}
            return bool(await self._link.script("rotate_key", "rotate_key", question))

    async def revoke_key(self, key_id: str, now: int) -> bool:
        change = {"row": f"key:{key_id}", "fields": ["revoked_at", to_json(now)], "unless": "revoked_at"}
        return bool(await self._link.script("revoke_key", "change", change))

    async def used_key(self, key_id: str, now: int) -> None:
        await self._link.script("used_key", "used_key", {"id": key_id, "now": to_json(now)})

    async def replace_digest(self, key_id: str, stored: bytes, digest: bytes) -> None:
        question = {"id": key_id, "stored": to_json(stored), "digest": to_json(digest)}
        await self._link.script("replace_digest", "replace_digest", question)

    async def add_team(self, team: Team) -> bool:
        with self._unanswered.token("add_team", team.name) as token:
            question = {"name": team.name, "token": token, "fields": to_flat(team)}
            return bool(await self._link.script("add_team", "add_team", question))

    async def find_team(self, name: str) -> Team | None:
        row = await self._link.command("find_team", "HGETALL", f"{PREFIX}team:{name}")
        return to_row(row, Team) if row else None

    async def list_teams(self) -> Sequence[Team]:
        return await self._list("list_teams", "teams", "team", Team)

    async def change_team(self, name: str, terms: TeamTerms) -> bool:
        return await self._change("change_team", f"team:{name}", terms)

    async def secret(self, fresh: bytes | None) -> bytes | None:
        if fresh is not None:
            await self._link.command("secret", "SET", _SECRET, fresh, "NX")
        kept: bytes | None = await self._link.command("secret", "GET", _SECRET)
        return kept

    async def _change(self, op: str, row: str, terms: KeyTerms | TeamTerms) -> bool:
        said = [(field.name, getattr(terms, field.name)) for field in fields(terms)]
        change = [each for name, value in said if value is not UNSET for each in (name, to_json(value))]
        return bool(await self._link.script(op, "change", {"row": row, "fields": change}))

    async def _list(self, op: str, index: str, row: str, kind: type[_Row]) -> list[_Row]:
        names = await self._link.command(op, "ZRANGE", PREFIX + index, 0, -1)
        reads = (self._link.command(op, "HGETALL", f"{PREFIX}{row}:{name.decode()}") for name in names)
        return [to_row(flat, kind) for flat in await asyncio.gather(*reads) if flat]
