"""An order: an ask made whole and priced against the catalogue. Everything a provider needs, and nothing of HTTP."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Codec = Literal["png", "webp", "jpeg"]
ResponseFormat = Literal["url", "b64_json"]
Operation = Literal["generation", "edit", "variation"]


@dataclass(frozen=True, slots=True)
class Reference:
    """An image that an order builds on, as it leaves: upright, opaque, without metadata, at most a megapixel.

    Its bytes are kept in the blob store under `name` (`<sha256>.<codec>`); sides in pixels, `size` in bytes.
    """

    name: str
    codec: Codec
    width: int
    height: int
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A reference, or the `mask` of the first one, on its way into the blob store."""

    reference: Reference
    data: bytes
    mask: bool = False


def apart(uploads: Iterable[Upload]) -> tuple[tuple[Reference, ...], Reference | None]:
    """The references in their order, and the mask."""
    references, mask = [], None
    for upload in uploads:
        if upload.mask:
            mask = upload.reference
        else:
            references.append(upload.reference)
    return tuple(references), mask


@dataclass(frozen=True, slots=True)
class Order:
    """`unit_price` in micro-dollars an image, `seed` that of the first image."""

    operation: Operation
    model: str
    prompt: str
    negative_prompt: str | None
    seed: int
    width: int
    height: int
    steps: int
    guidance: float
    max_sequence_length: int
    count: int
    codec: Codec
    response_format: ResponseFormat
    unit_price: int
    #: digest of the policies that priced it
    policy: str
    #: what the provider serves under the model's name, as its policy file has it
    revision: str = ""
    #: fields accepted without effect, to be named in `x-imagegate-ignored`
    ignored: tuple[str, ...] = ()
    #: in the order in which they were sent: the model tells the first from the second
    references: tuple[Reference, ...] = ()
    #: of the first reference's size, in L: white where that one is to be painted anew
    mask: Reference | None = None
    #: how many pictures of what it becomes are to be shown on the way, at most
    partials: int = 0

    @property
    def kept(self) -> tuple[Reference, ...]:
        """All that it builds on, while it is open."""
        return self.references if self.mask is None else (*self.references, self.mask)


@dataclass(frozen=True, slots=True)
class Part:
    """The share of an order that one upstream call makes: image k of it has seed + k."""

    number: int
    images: int
    seed: int


SEEDS = 2**32


def parts(order: Order, per_call: int) -> tuple[Part, ...]:
    """Split an order into calls of at most `per_call` images; part k starts at seed + per_call × k, modulo 2^32."""
    return tuple(
        Part(number, min(per_call, order.count - start), (order.seed + start) % SEEDS)
        for number, start in enumerate(range(0, order.count, per_call))
    )
