"""What the bodies and queries about keys and teams may say. What a change leaves out stays as it is; null takes it away."""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET
from pydantic import Field

from gateway.core.order import Operation
from gateway.core.rate import MOST
from gateway.edge.admin_asks import Asked
from gateway.ports import KeyTerms, TeamTerms

_Most = Annotated[int, Field(ge=0, le=MOST)]


class _Limited(Asked):
    """Limits: 0 is none, null what the policies say."""

    requests_per_minute: _Most | None = None
    images_per_minute: _Most | None = None
    images_in_flight: _Most | None = None
    disabled: bool = False

    def said(self, name: str) -> Any:  # noqa: ANN401 - whatever the field is of
        """The field, or that nothing was said of it."""
        return getattr(self, name) if name in self.model_fields_set else UNSET


class _Terms(_Limited):
    """`expires`: `30d`, a day (the last one) or an instant. `max_pixels`: width × height of one image."""

    name: str = ""
    models: tuple[str, ...] = ()
    endpoints: tuple[Operation, ...] = ()
    max_images: Annotated[int, Field(ge=1, le=10)] | None = None
    max_pixels: Annotated[int, Field(ge=1, le=2**32)] | None = None
    expires: str | None = None

    def terms(self, expiry: Callable[[str], int]) -> KeyTerms:
        """`expiry` reads `expires`: whoever keeps the clock."""
        expires = self.said("expires")
        return KeyTerms(
            name=self.said("name"),
            models=self.said("models"),
            endpoints=self.said("endpoints"),
            most_images=self.said("max_images"),
            most_pixels=self.said("max_pixels"),
            expires_at=expiry(expires) if isinstance(expires, str) else expires,
            disabled=self.said("disabled"),
            requests_per_minute=self.said("requests_per_minute"),
            images_per_minute=self.said("images_per_minute"),
            images_in_flight=self.said("images_in_flight"),
        )


class NewKey(_Terms):
    team: str
    budgets: tuple[str, ...] = ()


class ChangedKey(_Terms):
    pass


class Rotation(Asked):
    """`grace`: how long the secret before goes on working; `0` ends it at once. `force`: also while one before that does."""

    grace: str = "24h"
    force: bool = False


class KeysQuery(Asked):
    team: str | None = None


class NewTeam(Asked):
    name: str
    budgets: tuple[str, ...] = ()


class ChangedTeam(_Limited):
    def terms(self) -> TeamTerms:
        return TeamTerms(
            disabled=self.said("disabled"),
            requests_per_minute=self.said("requests_per_minute"),
            images_per_minute=self.said("images_per_minute"),
            images_in_flight=self.said("images_in_flight"),
        )
