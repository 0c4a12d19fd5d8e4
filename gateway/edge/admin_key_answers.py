"""What /admin/v1 answers about keys and teams; times are ISO 8601 in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from msgspec import UNSET, UnsetType

from gateway.core.instants import iso
from gateway.core.order import Operation
from gateway.edge.admin_answers import BudgetShape
from gateway.ports import BudgetState, Key, KeyState, Team


@dataclass(frozen=True, slots=True)
class KeyShape:
    """`secret` is in the answers that create a key or rotate it, and in no other. `old_secret_until`: that of the secret
    before the last rotation, past or to come. Limits: null is what the policies say, 0 is none."""

    id: str
    team: str
    name: str
    status: KeyState
    budgets: Sequence[str]
    models: Sequence[str]
    endpoints: Sequence[Operation]
    max_images: int | None
    max_pixels: int | None
    requests_per_minute: int | None
    images_per_minute: int | None
    images_in_flight: int | None
    made_by: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    disabled: bool
    revoked_at: str | None
    old_secret_until: str | None
    secret: str | UnsetType = UNSET
    warnings: Sequence[str] | UnsetType = UNSET

    @classmethod
    def of(cls, key: Key, status: KeyState, budgets: Sequence[BudgetState]) -> Self:
        return cls(
            id=key.id,
            team=key.team,
            name=key.name,
            status=status,
            budgets=_own(budgets, f"key:{key.id}"),
            models=key.models,
            endpoints=key.endpoints,
            max_images=key.most_images,
            max_pixels=key.most_pixels,
            requests_per_minute=key.requests_per_minute,
            images_per_minute=key.images_per_minute,
            images_in_flight=key.images_in_flight,
            made_by=key.made_by,
            created_at=iso(key.created_at),
            last_used_at=_iso(key.last_used_at),
            expires_at=_iso(key.expires_at),
            disabled=key.disabled,
            revoked_at=_iso(key.revoked_at),
            old_secret_until=_iso(key.old_until),
        )


@dataclass(frozen=True, slots=True)
class TeamShape:
    """`keys`: how many it has, whatever their status."""

    name: str
    disabled: bool
    budgets: Sequence[str]
    keys: int
    requests_per_minute: int | None
    images_per_minute: int | None
    images_in_flight: int | None
    created_at: str

    @classmethod
    def of(cls, team: Team, keys: int, budgets: Sequence[BudgetState]) -> Self:
        return cls(
            name=team.name,
            disabled=team.disabled,
            budgets=_own(budgets, f"team:{team.name}"),
            keys=keys,
            requests_per_minute=team.requests_per_minute,
            images_per_minute=team.images_per_minute,
            images_in_flight=team.images_in_flight,
            created_at=iso(team.created_at),
        )


def _own(budgets: Sequence[BudgetState], scope: str) -> Sequence[str]:
    return [BudgetShape.of(state).budget for state in budgets if state.scope == scope]


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
