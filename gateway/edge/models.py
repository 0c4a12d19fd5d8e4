"""GET /v1/models and /v1/models/{id}: what the caller's key may ask for, in OpenAI's shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.core.model_cards import ModelCard, find, listing
from gateway.edge.exchange import Call
from gateway.edge.front import Front

_PRIVATE = {"cache-control": "private, no-store"}


@dataclass(frozen=True, slots=True)
class ModelList:
    object: Literal["list"]
    data: Sequence[ModelCard]


@get("/v1/models", name="models.list", response_headers=_PRIVATE)
async def list_models(request: Call, front: NamedDependency[Front]) -> ModelList:
    """The models themselves, then their other names; all of them, as OpenAI's list has no pages."""
    caller = await front.identify(request)
    return ModelList("list", listing(front.catalogue, caller.allowed))


@get("/v1/models/{model_id:path}", name="models.get", response_headers=_PRIVATE)
async def get_model(request: Call, model_id: FromPath[str], front: NamedDependency[Front]) -> ModelCard:
    """One model by its id or any other name of it. Slashes in an id may come as they are or as %2F, as the SDKs send them."""
    caller = await front.identify(request)
    return find(front.catalogue, model_id.removeprefix("/"), caller.allowed)  # a path of Litestar's begins with one
