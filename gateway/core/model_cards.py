"""Model cards: what /v1/models tells. OpenAI's four fields, and beside them what a model takes, and what it costs."""

import calendar
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from msgspec import UNSET, UnsetType

from gateway.core.catalogue import Catalogue
from gateway.core.errors import NotFound
from gateway.core.money import dollars
from gateway.core.order import Operation
from gateway.core.policy import Limits, ModelPolicy

MayUse = Callable[[str], bool]

#: What `core.ask` reads for `n`, whatever the model: above `images_per_call` an order is several jobs.
_IMAGES = (1, 10)
_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class CardLimits:
    """Named as the request's fields where there is one. A pair is the least and the most; `side` and `pixels` in pixels,
    `prompt` in characters, `references` in images."""

    n: tuple[int, int]
    side: tuple[int, int]
    pixels: int
    prompt: int
    references: int
    num_inference_steps: tuple[int, int]
    guidance_scale: tuple[float, float]
    max_sequence_length: tuple[int, int]

    @classmethod
    def of(cls, limits: Limits) -> "CardLimits":
        (least_side, most_side), (least_steps, most_steps) = limits.side, limits.steps
        least_guidance, most_guidance = map(float, limits.guidance)
        least_length, most_length = limits.max_sequence_length
        return cls(
            n=_IMAGES,
            side=(least_side, most_side),
            pixels=limits.pixels,
            prompt=limits.prompt,
            references=limits.references,
            num_inference_steps=(least_steps, most_steps),
            guidance_scale=(least_guidance, most_guidance),
            max_sequence_length=(least_length, most_length),
        )


@dataclass(frozen=True, slots=True)
class CardPrice:
    """`per_image` in dollars, a plain decimal."""

    currency: Literal["USD"]
    per_image: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A name that may be asked for: with `aliases` the model itself, with `root` (the model's id) another name of it.

    `created` in seconds since the epoch. `sizes`: those with a name of their own; every other one within the limits is
    legal too.
    """

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    operations: Sequence[Operation]
    providers: Sequence[str]
    price: CardPrice
    limits: CardLimits
    sizes: Sequence[str]
    aspect_ratios: Mapping[str, str]
    aliases: Sequence[str] | UnsetType = UNSET
    root: str | UnsetType = UNSET


def listing(catalogue: Catalogue, may_use: MayUse) -> Sequence[ModelCard]:
    """The models that may be used, then the aliases that are names and no patterns, each once."""
    models = catalogue.policies.models
    aliases = (alias for model in models.values() for alias in model.aliases if _GLOB.isdisjoint(alias))
    cards = [(catalogue.model(name), name) for name in dict.fromkeys([*models, *aliases])]
    return [_card(catalogue, model, name) for model, name in cards if may_use(model.id)]


def find(catalogue: Catalogue, name: str, may_use: MayUse) -> ModelCard:
    """The card of an id, an alias, or whatever a pattern matches. Raises NotFound.

    One that may not be used is told as one that does not exist, as the list shows neither.
    """
    model = catalogue.model(name)
    if not may_use(model.id):
        raise NotFound(f"The model '{name[:64]}' does not exist.", code="model_not_found", param="model")
    return _card(catalogue, model, name)


def _card(catalogue: Catalogue, model: ModelPolicy, name: str) -> ModelCard:
    own = name == model.id
    return ModelCard(
        id=name,
        object="model",
        created=calendar.timegm(model.created.timetuple()),
        owned_by=model.owned_by,
        operations=get_args(Operation) if model.limits.references else ("generation",),
        providers=catalogue.policies.route(model.id).legs,
        price=CardPrice("USD", dollars(model.unit_price)),
        limits=CardLimits.of(model.limits),
        sizes=list(dict.fromkeys([*model.aspect_ratios.values(), *([] if own else model.alias_sizes)])),
        aspect_ratios=model.aspect_ratios,
        aliases=model.aliases if own else UNSET,
        root=UNSET if own else model.id,
    )
