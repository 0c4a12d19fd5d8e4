"""Routes: which providers may make a model's images, in their order and on what conditions."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Policy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


#: Providers that every gateway has, under these names.
OWN_PROVIDERS = ("workers", "empiriolabs")


#: Dollars an image: more is a slip, and would overflow what stores count with.
DEAREST = 1_000_000


def _exact(value: object) -> object:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


#: TOML's whole numbers count as well: a price of 0, a wait of 20 seconds.
Number = Annotated[Decimal, BeforeValidator(_exact)]


class LegPolicy(Policy):
    """A provider that may make a model's images, and when. Written as its name alone, it always may.

    `price`: dollars an image, if not that of the model's file (and 0 of the team's own workers); `wait_below`: seconds that an
    order may have to wait for its turn there; `budget_below`: share up to which each of the payers' budgets may be used.
    """

    provider: str
    price: Annotated[Number, Field(ge=0, le=DEAREST)] | None = None
    wait_below: Annotated[Number, Field(gt=0)] | None = None
    budget_below: Annotated[Number, Field(gt=0, le=1)] | None = None
    #: what an OpenAI-compatible server calls the model, if not as we do
    model: str | None = None


def _leg(value: object) -> object:
    return {"provider": value} if isinstance(value, str) else value


class Route(Policy):
    """`any_engine`: equal orders share pictures whichever leg made them, though each paints the same seed otherwise."""

    model: str
    legs: Annotated[list[Annotated[LegPolicy, BeforeValidator(_leg)]], Field(min_length=1)]
    upstream_wait: Literal["poll", "hold"] = "poll"
    any_engine: bool = False

    @property
    def providers(self) -> list[str]:
        return [leg.provider for leg in self.legs]


#: No user, query or fragment: nothing that two parsers could read differently, and nothing secret.
_BASE_URL = re.compile(
    r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?(/[!-~]*)?", re.ASCII | re.IGNORECASE
)
_PORTS = range(1, 65_536)


def _base_url(url: str) -> str:
    match = _BASE_URL.fullmatch(url)
    if match is None or int(match["port"] or 80) not in _PORTS or re.search(r"[\\?#]", url):
        raise ValueError("write a plain http(s) URL in ASCII without user, query or fragment")
    if url.rstrip("/").endswith("/v1"):
        raise ValueError("leave /v1 out: it is added to every path")
    return url.rstrip("/")


class Server(Policy):
    """Any server of OpenAI's images, by the name that legs call it. Its key is one of `IMAGEGATE_PROVIDER_KEYS`.

    `url` ends before `/v1`. `fields`: what is sent beside model, prompt, n and size. `references`: images that one edit may
    build on, 0: it makes no edits. `masks`: does it paint where a mask is transparent? `deadline`: seconds for a whole answer.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    url: Annotated[str, AfterValidator(_base_url)]
    fields: list[
        Literal[
            "response_format",
            "output_format",
            "seed",
            "num_inference_steps",
            "guidance_scale",
            "negative_prompt",
            "max_sequence_length",
        ]
    ] = ["response_format", "seed", "num_inference_steps", "guidance_scale"]
    references: Annotated[int, Field(ge=0, le=16)] = 4
    masks: bool = False
    #: it makes nothing twice for one `Idempotency-Key`: a submit whose answer was lost may be said again
    idempotent: bool = False
    most_at_once: Annotated[int, Field(ge=1, le=256)] = 4
    deadline: Annotated[int, Field(ge=1, le=3600)] = 300


class Routes(Policy):
    default: str
    routes: list[Route]
    servers: list[Server] = []

    def wrong(self) -> Iterator[str]:
        """What does not hold together."""
        names = [server.name for server in self.servers]
        if len(names) != len(set(names)) or not set(names).isdisjoint(OWN_PROVIDERS):
            yield "a server has the name of another provider"
        for route in self.routes:
            if len(route.providers) != len(set(route.providers)):
                yield f"{route.model} has two legs at one provider"
            for unknown in sorted(set(route.providers) - {*OWN_PROVIDERS, *names}):
                yield f"{route.model} has a leg at {unknown}, which is no provider"
