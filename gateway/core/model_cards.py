"""Model cards: what /v1/models tells. OpenAI's four fields, and beside them what a model takes, and what it costs."""

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from msgspec import UNSET, UnsetType

from gateway.core.allowed import Allowed
from gateway.core.ask import split_size
from gateway.core.catalogue import Catalogue
from gateway.core.errors import NotFound
from gateway.core.money import dollars
from gateway.core.order import Operation
from gateway.core.policy import Limits, ModelPolicy

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
    def of(cls, limits: Limits, allowed: Allowed) -> "CardLimits":
        (least_side, most_side), (least_steps, most_steps) = limits.side, limits.steps
        least_guidance, most_guidance = map(float, limits.guidance)
        least_length, most_length = limits.max_sequence_length
        return cls(
            n=(_IMAGES[0], min(_IMAGES[1], allowed.most_images or _IMAGES[1])),
            side=(least_side, most_side),
            pixels=min(limits.pixels, allowed.most_pixels or limits.pixels),
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


def listing(catalogue: Catalogue, allowed: Allowed) -> Sequence[ModelCard]:
    """The models that may be used, then the aliases that are names and no patterns, each once."""
    models = catalogue.policies.models
    aliases = (alias for model in models.values() for alias in model.aliases if _GLOB.isdisjoint(alias))
    named = [(catalogue.model(name), name) for name in dict.fromkeys([*models, *aliases])]
    return [_card(catalogue, model, name, allowed) for model, name in named if _shows(model, allowed)]


def find(catalogue: Catalogue, name: str, allowed: Allowed) -> ModelCard:
    """The card of an id, an alias, or whatever a pattern matches. Raises NotFound.

    One that may not be used is told as one that does not exist, as the list shows neither.
    """
    model = catalogue.model(name)
    if not _shows(model, allowed):
        raise NotFound(f"The model '{name[:64]}' does not exist.", code="model_not_found", param="model")
    return _card(catalogue, model, name, allowed)


def _shows(model: ModelPolicy, allowed: Allowed) -> bool:
    return allowed.may_use(model.id) and bool(_operations(model, allowed))


def _operations(model: ModelPolicy, allowed: Allowed) -> Sequence[Operation]:
    able: Sequence[Operation] = get_args(Operation) if model.limits.references else ("generation",)
    return [operation for operation in able if allowed.may_call(operation)]


def _card(catalogue: Catalogue, model: ModelPolicy, name: str, allowed: Allowed) -> ModelCard:
    """Nothing on it is more than the key may ask for."""
    own = name == model.id
    ratios = {ratio: size for ratio, size in model.aspect_ratios.items() if _fits(size, allowed)}
    standard = () if own else (asked for asked, made in model.alias_sizes.items() if _fits(made, allowed))
    return ModelCard(
        id=name,
        object="model",
        created=calendar.timegm(model.created.timetuple()),
        owned_by=model.owned_by,
        operations=_operations(model, allowed),
        providers=catalogue.policies.route(model.id).providers,
        price=CardPrice("USD", dollars(model.unit_price)),
        limits=CardLimits.of(model.limits, allowed),
        sizes=list(dict.fromkeys([*ratios.values(), *standard])),
        aspect_ratios=ratios,
        aliases=model.aliases if own else UNSET,
        root=UNSET if own else model.id,
    )


def _fits(size: str, allowed: Allowed) -> bool:
    width, height = split_size(size)
    return allowed.may_show(width * height)
