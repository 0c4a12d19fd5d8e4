"""Policies: TOML data, parsed into closed, typed kinds. Decimals are exact; an unknown name or kind refuses the whole set."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from gateway.core import rate
from gateway.core.money import micros
from gateway.core.order import Codec, ResponseFormat
from gateway.core.policy_problems import PolicyError, Problem, problems_of
from gateway.core.route_policy import DEAREST, Number, Policy, Route, Routes

_Kind = TypeVar("_Kind", bound=Policy)


def _size(text: str) -> str:
    width, cross, height = text.partition("x")
    if not (cross and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise ValueError("write a size as WIDTHxHEIGHT")
    return text


Size = Annotated[str, AfterValidator(_size)]
IntRange = Annotated[list[int], Field(min_length=2, max_length=2)]
DecimalRange = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Limits(Policy):
    side: IntRange
    references: Annotated[int, Field(ge=0, le=16)]
    pixels: int
    prompt: int
    steps: IntRange
    guidance: DecimalRange
    max_sequence_length: IntRange


class Defaults(Policy):
    steps: int
    guidance: Number
    max_sequence_length: int
    codec: Codec
    response_format: ResponseFormat


class AliasDefaults(Policy):
    codec: Codec
    response_format: dict[str, ResponseFormat]


class Moderation(Policy):
    markers: list[Annotated[str, Field(min_length=3, pattern=r"^[^A-Z]+$")]] = Field(default_factory=list)


class EmpirioLabsModel(Policy):
    result: Literal["b64_json", "url"]
    references: Literal["data", "upload"] = "data"


class ModelPolicy(Policy):
    """One model: what it takes, what it costs, what clients may call it."""

    id: str
    revision: str = ""
    created: date
    owned_by: str
    aliases: list[str] = Field(default_factory=list)
    price: Annotated[Number, Field(ge=0, le=DEAREST)]
    images_per_call: Annotated[int, Field(ge=1, le=10)]
    variation_prompt: Annotated[str, Field(min_length=1)]
    limits: Limits
    defaults: Defaults
    alias_defaults: AliasDefaults
    alias_sizes: dict[str, Size] = Field(default_factory=dict)
    aspect_ratios: dict[str, Size]
    moderation: Moderation = Moderation()
    empiriolabs: EmpirioLabsModel | None = None

    @cached_property
    def unit_price(self) -> int:
        """Micro-dollars an image, rounded up."""
        return micros(self.price)

    def answers_to(self, name: str) -> bool:
        return any(fnmatchcase(name, alias) for alias in self.aliases)


class UnconfirmedPolicy(Policy):
    after: Annotated[int, Field(ge=60)]
    outcome: Literal["charge", "release"]


class QueuePolicy(Policy):
    detached_wait: Annotated[int, Field(ge=1)]


class BudgetsPolicy(Policy):
    #: shares of a budget
    warn_at: list[Annotated[Number, Field(gt=0, le=1)]] = Field(default_factory=list)


_Most = Annotated[int, Field(ge=0, le=rate.MOST)]


class LimitSet(Policy):
    requests_per_minute: _Most | None = None
    images_per_minute: _Most | None = None
    images_in_flight: _Most | None = None

    @property
    def limits(self) -> rate.Limits:
        return rate.Limits(self.requests_per_minute, self.images_per_minute, self.images_in_flight)


class LimitsPolicy(Policy):
    """For each key, and for each team, that sets none of its own."""

    keys: LimitSet = LimitSet()
    teams: LimitSet = LimitSet()

    @cached_property
    def defaults(self) -> rate.Defaults:
        return rate.Defaults(self.keys.limits, self.teams.limits)


class JobsPolicy(Policy):
    keep: Annotated[int, Field(ge=86400)]


class RetriesPolicy(Policy):
    adopt_within: Annotated[int, Field(ge=0)]


class CachePolicy(Policy):
    """With whom equal orders are shared, for how long (seconds), and how many bytes of pictures may lie there (0: no end)."""

    scope: Literal["key", "team", "everyone"] = "team"
    lifetime: Annotated[int, Field(ge=0)] = 604_800
    most_bytes: Annotated[int, Field(ge=0)] = 50_000_000_000


class RateCardPolicy(Policy):
    every: Annotated[int, Field(ge=0)] = 21600


class GatewayPolicy(Policy):
    unconfirmed: UnconfirmedPolicy
    queue: QueuePolicy
    jobs: JobsPolicy
    retries: RetriesPolicy
    cache: CachePolicy = CachePolicy()
    rate_card: RateCardPolicy = RateCardPolicy()
    budgets: BudgetsPolicy = BudgetsPolicy()
    limits: LimitsPolicy = LimitsPolicy()


class Policies(Policy):
    gateway: GatewayPolicy
    routes: Routes
    models: dict[str, ModelPolicy]
    #: first 16 hex digits of a SHA-256 over every file's name and text
    digest: str

    @cached_property
    def most_references(self) -> int:
        """Images that an order for any of the models may build on."""
        return max((model.limits.references for model in self.models.values()), default=0)

    def route(self, model: str) -> Route:
        return next(route for route in self.routes.routes if route.model == model)

    def price(self, model: str, provider: str) -> int:
        """Micro-dollars an image there, rounded up; by the model's file where the route says nothing."""
        for leg in self.route(model).legs:
            if leg.provider == provider and leg.price is not None:
                return micros(leg.price)
        return 0 if provider == "workers" else self.models[model].unit_price


def parse(files: Mapping[str, str]) -> Policies:
    """Read a whole set, `{"gateway.toml": text, "routes.toml": …, "models/NAME.toml": …}`, or refuse it whole.

    Raises PolicyError, with all that is wrong as far as it can be seen: what files say of each other only once each is right.
    """
    problems = [
        Problem(needed, None, "is missing") for needed in ("gateway.toml", "routes.toml") if needed not in files
    ]
    tables = {name: _table(name, files[name], problems) for name in sorted(files)}
    gateway = _model("gateway.toml", GatewayPolicy, tables.pop("gateway.toml", None), problems)
    routes = _model("routes.toml", Routes, tables.pop("routes.toml", None), problems)
    models: dict[str, ModelPolicy] = {}
    for name, table in tables.items():
        if not name.startswith("models/"):
            problems.append(
                Problem(name, None, "is no policy file: expected gateway.toml, routes.toml, models/NAME.toml")
            )
        elif (model := _model(name, ModelPolicy, table, problems)) is not None:
            if model.id in models:
                problems.append(Problem(name, "id", f"the model {model.id} is described twice"))
            models[model.id] = model
            problems += (Problem(name, key, problem) for key, problem in _unserved(model))
    if gateway is None or routes is None or problems:
        raise PolicyError(*problems)
    if problems := [Problem("routes.toml", None, problem) for problem in _disagreements(routes, models)]:
        raise PolicyError(*problems)
    return Policies(gateway=gateway, routes=routes, models=models, digest=_digest(files))


def _disagreements(routes: Routes, models: Mapping[str, ModelPolicy]) -> Iterator[str]:
    routed = [route.model for route in routes.routes]
    if len(routed) != len(set(routed)):
        yield "a model has two routes"
    for name in dict.fromkeys([routes.default, *routed]):
        if name not in models:
            yield f"no file in models/ describes {name}"
    yield from routes.wrong()
    for route in routes.routes:
        model = models.get(route.model)
        if model is not None and model.empiriolabs is None and "empiriolabs" in route.providers:
            yield f"{route.model} has no [empiriolabs] table in its model file"
    for name in models:
        if name not in routed:
            yield f"the model {name} has no route"


def _unserved(model: ModelPolicy) -> Iterator[tuple[str, str]]:
    """A request that names nothing must not be refused for what the policy fills in: the keys by which it would be."""
    limits, defaults = model.limits, model.defaults
    if "1:1" not in model.aspect_ratios:
        yield "aspect_ratios", "must have 1:1, the ratio of a request that names none"
    for table in ("aspect_ratios", "alias_sizes"):
        for name, size in getattr(model, table).items():
            sides = [int(side) for side in size.split("x")]
            if not all(limits.side[0] <= side <= limits.side[1] for side in sides) or math.prod(sides) > limits.pixels:
                yield f"{table}.{name}", f"the size {size} is outside of [limits]"
    for name in ("steps", "guidance", "max_sequence_length"):
        least, most = getattr(limits, name)
        if not least <= getattr(defaults, name) <= most:
            yield f"defaults.{name}", "is outside of [limits]"


def _table(name: str, text: str, problems: list[Problem]) -> dict[str, object] | None:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem(name, None, f"is no TOML: {error}"))
        return None


def _model(name: str, kind: type[_Kind], table: Mapping[str, object] | None, problems: list[Problem]) -> _Kind | None:
    if table is None:
        return None
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        problems += problems_of(name, error)
        return None


def _digest(files: Mapping[str, str]) -> str:
    whole = sha256()
    for name in sorted(files):
        for piece in (name.encode(), files[name].encode()):
            whole.update(len(piece).to_bytes(8, "big") + piece)
    return whole.hexdigest()[:16]
