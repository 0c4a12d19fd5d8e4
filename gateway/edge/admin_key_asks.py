"""What the bodies and queries about keys and teams may say. What a change leaves out stays as it is; null takes it away."""

from collections.abc import Callable
from typing import Annotated

from msgspec import UNSET
from pydantic import Field

from gateway.core.order import Operation
from gateway.edge.admin_asks import Asked
from gateway.ports import KeyTerms, TeamTerms


class _Terms(Asked):
    """`expires`: `30d`, a day (the last one) or an instant. `max_pixels`: width × height of one image."""

    name: str = ""
    models: tuple[str, ...] = ()
    endpoints: tuple[Operation, ...] = ()
    max_images: Annotated[int, Field(ge=1, le=10)] | None = None
    max_pixels: Annotated[int, Field(ge=1, le=2**32)] | None = None
    expires: str | None = None
    disabled: bool = False

    def terms(self, expiry: Callable[[str], int]) -> KeyTerms:
        """`expiry` reads `expires`: whoever keeps the clock."""
        given = self.model_fields_set
        expires_at = None if self.expires is None else expiry(self.expires)
        return KeyTerms(
            name=self.name if "name" in given else UNSET,
            models=self.models if "models" in given else UNSET,
            endpoints=self.endpoints if "endpoints" in given else UNSET,
            most_images=self.max_images if "max_images" in given else UNSET,
            most_pixels=self.max_pixels if "max_pixels" in given else UNSET,
            expires_at=expires_at if "expires" in given else UNSET,
            disabled=self.disabled if "disabled" in given else UNSET,
        )


class NewKey(_Terms):
    team: str
    budgets: tuple[str, ...] = ()


class ChangedKey(_Terms):
    pass


class Rotation(Asked):
    """`grace`: how long the secret before goes on working; `0` ends it at once."""

    grace: str = "24h"


class KeysQuery(Asked):
    team: str | None = None


class NewTeam(Asked):
    name: str
    budgets: tuple[str, ...] = ()


class ChangedTeam(Asked):
    disabled: bool = False

    def terms(self) -> TeamTerms:
        return TeamTerms(disabled=self.disabled if "disabled" in self.model_fields_set else UNSET)
