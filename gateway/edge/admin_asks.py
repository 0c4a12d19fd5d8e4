"""What the bodies and queries of /admin/v1 may say; anything else is refused by the name of the field."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.core.errors import InvalidRequest
from gateway.core.instants import midnight
from gateway.core.job import Status
from gateway.pipeline.cache_administration import SavedBy, Selection
from gateway.ports import SpendBy


class Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Raises InvalidRequest naming the field, also for what is no JSON at all."""
        try:
            return cls.model_validate_json(body, strict=True)
        except ValidationError as error:
            raise _refusal(error) from error

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Raises InvalidRequest naming the parameter."""
        try:
            return cls.model_validate(query)
        except ValidationError as error:
            raise _refusal(error) from error


class NewBudgets(Asked):
    scope: str
    budgets: list[str]


class Resolution(Asked):
    """`attempt`: the number of the only one that is meant, as the end of its id says it."""

    outcome: Literal["charge", "release"]
    attempt: Annotated[int, Field(ge=0)] | None = None


class NewAdjustment(Asked):
    """`amount`: dollars as text, such as `-0.0085`; `day`: whose windows it corrects, today's if there is none. `id`:
    whoever asks again with it is told of the one that was booked."""

    key: str
    amount: str
    reason: str
    day: dt.date | None = None
    id: str | None = None


class LogLevel(Asked):
    level: Literal["debug", "info", "warning", "error"]


class SpendQuery(Asked):
    by: SpendBy = "team"
    since: dt.date = dt.date(1970, 1, 1)
    format: Literal["json", "csv"] = "json"

    @property
    def since_ms(self) -> int:
        return midnight(self.since)


class LedgerQuery(Asked):
    after: Annotated[int, Field(ge=0, le=2**62)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class JobsQuery(Asked):
    """`unconfirmed` is no status that a client sees: it lists the jobs that `jobs resolve` is for."""

    status: Status | Literal["unconfirmed"] | None = None
    team: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    after: str | None = None


class _Selected(Asked):
    team: str | None = None
    model: str | None = None
    older_than: str | None = None
    fingerprint: str | None = None

    @property
    def selection(self) -> Selection:
        return Selection(self.team, self.model, self.older_than, self.fingerprint)


class CacheQuery(_Selected):
    """`since`: the first day of which savings are told."""

    by: SavedBy = "team"
    since: dt.date | None = None


class PurgeQuery(_Selected):
    everything: Annotated[bool, Field(alias="all")] = False


def _refusal(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    kind = first["type"]
    param = str(first["loc"][0]) if first["loc"] else None
    if kind == "json_invalid":
        return InvalidRequest("the body is no valid JSON")
    if kind == "missing":
        return InvalidRequest(f"{param} is missing", code="missing_required_parameter", param=param)
    if kind == "extra_forbidden":
        return InvalidRequest(f"{param} is no parameter here", code="unknown_parameter", param=param)
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return InvalidRequest(f"{param or 'the body'}: {first['msg']}", code=code, param=param)
