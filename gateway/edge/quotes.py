"""The answer to a dry run: what a call would cost, and what would refuse it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.job import CacheWord
from gateway.core.order import Codec, Operation, ResponseFormat
from gateway.edge.admin_answers import BudgetShape, Money
from gateway.edge.reply import Body, Reply
from gateway.pipeline.quoting import Quote

_HEADERS = (("content-type", "application/json"), ("cache-control", "private, no-store"))


@dataclass(frozen=True, slots=True)
class OrderShape:
    """Named as the request's fields where there is one: what stands here may be asked for."""

    operation: Operation
    model: str
    size: str
    n: int
    seed: int | None
    num_inference_steps: int
    guidance_scale: float
    max_sequence_length: int
    output_format: Codec
    response_format: ResponseFormat
    #: images that it builds on
    references: int
    price_per_image: Money
    ignored: Sequence[str]
    fingerprint: str | None

    @classmethod
    def of(cls, quote: Quote) -> Self:
        order = quote.order
        return cls(
            operation=order.operation,
            model=order.model,
            size=f"{order.width}x{order.height}",
            n=order.count,
            seed=order.seed if quote.seeded else None,
            num_inference_steps=order.steps,
            guidance_scale=order.guidance,
            max_sequence_length=order.max_sequence_length,
            output_format=order.codec,
            response_format=order.response_format,
            references=len(order.references),
            price_per_image=Money.of(order.unit_price),
            ignored=order.ignored,
            fingerprint=quote.fingerprint,
        )


@dataclass(frozen=True, slots=True)
class RefusalShape:
    """The error's envelope with its status; `retry_after` in seconds."""

    status: int
    type: str
    code: str
    message: str
    param: str | None
    retry_after: float | None

    @classmethod
    def of(cls, error: GatewayError) -> Self:
        return cls(error.status, error.type, error.code, error.message, error.param, _rounded(error.retry_after))


@dataclass(frozen=True, slots=True)
class QuoteShape:
    object: Literal["imagegate.quote"]
    order: OrderShape
    cost: Money
    cache: CacheWord
    provider: str
    wait_seconds: float | None
    budgets: Sequence[BudgetShape]
    allowed: bool
    refusal: RefusalShape | None

    @classmethod
    def of(cls, quote: Quote) -> Self:
        return cls(
            object="imagegate.quote",
            order=OrderShape.of(quote),
            cost=Money.of(quote.cost),
            cache=quote.cache,
            provider=quote.provider,
            wait_seconds=_rounded(quote.seconds),
            budgets=[BudgetShape.of(state) for state in quote.budgets],
            allowed=quote.refusal is None,
            refusal=None if quote.refusal is None else RefusalShape.of(quote.refusal),
        )


def render(quote: Quote) -> Reply:
    return Reply(200, list(_HEADERS), Body((msgspec.json.encode(QuoteShape.of(quote)),)))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
