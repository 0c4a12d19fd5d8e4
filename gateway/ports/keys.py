"""Keys and teams: who may ask, for what, and until when."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol

from msgspec import UNSET, UnsetType

from gateway.core.allowed import Allowed
from gateway.core.order import Operation
from gateway.core.rate import Limits

KeyState = Literal["active", "disabled", "expired", "revoked", "team_disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """How much a key or a team may ask for; None: what the policies say, 0: no limit."""

    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    images_in_flight: int | None = None

    @property
    def limits(self) -> Limits:
        return Limits(self.requests_per_minute, self.images_per_minute, self.images_in_flight)


@dataclass(frozen=True, slots=True)
class Team(Limited):
    """A disabled one has all its keys refused, as long as it is."""

    name: str
    created_at: int
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Key(Limited):
    """A team's virtual API key; digests are HMAC-SHA256 of the whole key."""

    id: str
    team: str
    name: str
    digest: bytes
    created_at: int
    revoked_at: int | None = None
    #: the only models it may ask for, by id; none named: all
    models: tuple[str, ...] = ()
    #: the only operations it may ask for; none named: all
    endpoints: tuple[Operation, ...] = ()
    #: the largest `n` of one request
    most_images: int | None = None
    #: the largest width × height of one image
    most_pixels: int | None = None
    #: from this instant on it is refused
    expires_at: int | None = None
    disabled: bool = False
    #: by which door its maker came in: `local`, `admin-key`
    made_by: str = ""
    #: to the minute; None: never yet
    last_used_at: int | None = None
    #: the secret before the last rotation, good until `old_until`
    old_digest: bytes | None = None
    old_until: int | None = None

    @property
    def allowed(self) -> Allowed:
        return Allowed(self.models, self.endpoints, self.most_images, self.most_pixels)

    def state(self, team: Team, now: int) -> KeyState:
        """Whether it may be used; if not, the reason that no other change would mend comes first."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        if self.disabled:
            return "disabled"
        return "team_disabled" if team.disabled else "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitTerms:
    """What an administrator may change of either, under the names of Limited. Only what is set is said."""

    requests_per_minute: int | UnsetType | None = UNSET
    images_per_minute: int | UnsetType | None = UNSET
    images_in_flight: int | UnsetType | None = UNSET


@dataclass(frozen=True, slots=True)
class KeyTerms(LimitTerms):
    """What an administrator may change of a key, under the names of Key. Only what is set is said."""

    name: str | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    endpoints: tuple[Operation, ...] | UnsetType = UNSET
    most_images: int | UnsetType | None = UNSET
    most_pixels: int | UnsetType | None = UNSET
    expires_at: int | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET

    def apply(self, key: Key) -> Key:
        return replace(key, **_said(self))


@dataclass(frozen=True, slots=True)
class TeamTerms(LimitTerms):
    """What an administrator may change of a team, under the names of Team. Only what is set is said."""

    disabled: bool | UnsetType = UNSET

    def apply(self, team: Team) -> Team:
        return replace(team, **_said(self))


class Keys(Protocol):
    """Every change is one atomic step that touches only what it names: of two that race, neither undoes the other."""

    @abstractmethod
    async def add_key(self, key: Key) -> None:
        """A new key, in one step with its team where that is new (made when the key was). An id that is taken raises."""

    @abstractmethod
    async def find_key(self, key_id: str) -> tuple[Key, Team] | None:
        """The key and its team, in one read."""

    @abstractmethod
    async def list_keys(self, team: str | None = None) -> Sequence[Key]:
        """Oldest first."""

    @abstractmethod
    async def change_key(self, key_id: str, terms: KeyTerms) -> bool:
        """False when there is no such key."""

    @abstractmethod
    async def rotate_key(self, key_id: str, digest: bytes, old_until: int) -> bool:
        """A new digest; the one before it becomes the old one, good until then. False when there is no such key.

        A still older one is forgotten: of three secrets the first is dead.
        """

    @abstractmethod
    async def revoke_key(self, key_id: str, now: int) -> bool:
        """False when there is no such key. Revoking twice keeps the first time; nothing takes it back."""

    @abstractmethod
    async def used_key(self, key_id: str, now: int) -> None:
        """`last_used_at` becomes `now`, and never earlier than it was. Nothing when there is no such key."""

    @abstractmethod
    async def replace_digest(self, key_id: str, stored: bytes, digest: bytes) -> None:
        """Re-hash under the newest secret of the ring: whichever of the two digests is `stored` becomes `digest`.

        Neither is, when a rotation came between: then nothing changes.
        """

    @abstractmethod
    async def add_team(self, team: Team) -> bool:
        """False when there is one of that name, which then stays as it is."""

    @abstractmethod
    async def find_team(self, name: str) -> Team | None: ...

    @abstractmethod
    async def list_teams(self) -> Sequence[Team]:
        """By name."""

    @abstractmethod
    async def change_team(self, name: str, terms: TeamTerms) -> bool:
        """False when there is no such team."""

    @abstractmethod
    async def secret(self, fresh: bytes | None) -> bytes | None:
        """The installation's own secret: `fresh` is kept on the first call, the kept one returned ever after.

        None keeps nothing, and asks whether one is kept.
        """


def _said(terms: KeyTerms | TeamTerms) -> dict[str, Any]:
    said = {field.name: getattr(terms, field.name) for field in fields(terms)}
    return {name: value for name, value in said.items() if value is not UNSET}
