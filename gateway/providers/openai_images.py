"""Any server of OpenAI's images as a provider: vLLM-Omni, SGLang, LocalAI, another imagegate. One call, which stays open until
the images are made. Rules 3, 10 and 11."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from gateway.core.job import Failure
from gateway.core.order import Order
from gateway.ports import Clock, Declined, Finished, Image, Provider, Share, Travel, Unfit, Unknown
from gateway.providers.addresses import origin_of
from gateway.providers.downloads import Downloads, Lines
from gateway.providers.empiriolabs_refusal import NOT_SENT
from gateway.providers.empiriolabs_result import MAX_IMAGE
from gateway.providers.large_bodies import Places, made, seconds_to_send
from gateway.providers.openai_images_wire import Returned, Served, judge, lost, not_answered, write
from gateway.providers.reply import Broken
from gateway.providers.transport import Call, Limits, Slot

#: `on_request(op, code)`: op is submit or download; code an HTTP status, `timeout`, `unreachable` or `cut`.
OnRequest = Callable[[str, str], None]

#: Seconds for one picture that lies elsewhere.
_DOWNLOAD = 60.0
_NO_MASK = Failure("upstream_error", "The mask was lost before the order was submitted; nothing was bought.")


@dataclass(frozen=True, slots=True)
class Terms:
    """How one server is asked, as core.route_policy.Server has it. `deadline`: seconds for a whole answer, beside those in
    which a large body leaves."""

    name: str
    url: str
    key: str | None = field(default=None, repr=False)
    models: Mapping[str, Served] = field(default_factory=dict)
    fields: tuple[str, ...] = ("response_format", "seed", "num_inference_steps", "guidance_scale")
    references: int = 4
    masks: bool = False
    idempotent: bool = False
    deadline: float = 300.0
    private_hosts: tuple[str, ...] = ()


class OpenAIImages(Provider):
    """Keeps no state between calls. The pictures are kept in the codec and the size in which they come.

    A submit may be repeated where that costs nothing: the server makes nothing twice for one `Idempotency-Key`, or takes no
    money at all. `references` of a submit with a mask end with the mask.

    Raises ValueError for a key or an address that no request can carry: found at a submit, it would look like a lost one.
    """

    def __init__(
        self, terms: Terms, lines: Lines, places: Places, clock: Clock, on_request: OnRequest | None = None
    ) -> None:
        if terms.key is not None and not re.fullmatch(r"[\x21-\x7e]+", terms.key):
            raise ValueError("a server's key is printable ASCII without blanks")
        own = origin_of(terms.url)
        if own is None:
            raise ValueError("a server's address is a plain http(s) URL in ASCII")
        self.name = terms.name
        self._terms = terms
        self._models: dict[str, Served] = {}
        self.serve(terms.models)
        self._url = terms.url.rstrip("/")
        self._headers = {"accept": "application/json"}
        if terms.key is not None:
            self._headers["authorization"] = f"Bearer {terms.key}"
        self._line = lines.trusted
        self._places = places
        self._count = on_request or (lambda _op, _code: None)
        self._downloads = Downloads(lines, own, terms.private_hosts, clock, _DOWNLOAD)

    def serve(self, models: Mapping[str, Served]) -> None:
        """By new policies. A model that they have lost is served on, to orders that were read before."""
        self._models |= models
        free = bool(self._models) and all(served.free for served in self._models.values())
        self.repeatable = self._terms.idempotent or free

    async def fits(self, order: Order) -> str | Unfit:
        if order.model not in self._models:
            return Unfit("unable", "it does not serve this model")
        if len(order.references) > self._terms.references:
            most = f"at most {self._terms.references}" if self._terms.references else "no"
            return Unfit("unable", f"it takes {most} reference images")
        if order.mask is not None and not self._terms.masks:
            return Unfit("unable", "it takes no masks", "mask")
        return self.name

    def travel(self, order: Order) -> Travel:  # noqa: ARG002 - the port's: of whatever order, they go within
        return "within"

    async def submit(
        self, share: Share, references: Sequence[Image | str], until_kept: ExitStack | None = None
    ) -> Finished | Declined | Unknown:
        """One POST. Of more images than asked for, the first `part.images` are taken."""
        images = [image for image in references if isinstance(image, Image)]
        return await self._places.in_place(partial(self._submit, share, images), until_kept)

    async def poll(
        self,
        upstream_id: str,  # noqa: ARG002 - the port's: it never gave one
        order: Order,  # noqa: ARG002
        age: float,  # noqa: ARG002
        until_kept: ExitStack | None = None,  # noqa: ARG002
    ) -> Unknown:
        return Unknown("a server of OpenAI's images knows no jobs")

    async def _submit(self, share: Share, images: Sequence[Image], slot: Slot) -> Finished | Declined | Unknown:
        order, terms = share.order, self._terms
        own, masks = images[: len(order.references)], images[len(order.references) :]
        if order.mask is not None and not masks:
            return Declined(_NO_MASK)
        # resumed after a restart on policies that have lost its model: nobody knows that it is free
        served = self._models.get(order.model) or Served(order.model)
        mask = masks[0] if order.mask is not None else None
        written = await made(
            partial(write, share, own, mask, served.name, terms.fields), sum(len(image.data) for image in images)
        )
        headers = {"content-type": written.content_type, "idempotency-key": share.attempt}
        call = Call("POST", self._url + written.path, self._headers | headers, written.content)
        seconds = terms.deadline + seconds_to_send(written.content)
        reply = await self._line.call(call, Limits(seconds, seconds, MAX_IMAGE), slot)
        self._count("submit", reply.code)
        if isinstance(reply, Broken):
            if reply.unsent:
                return Declined(NOT_SENT, again=True)
            return not_answered(reply, served, idempotent=terms.idempotent)
        verdict = await made(partial(judge, reply, served, idempotent=terms.idempotent), len(reply.body))
        if not isinstance(verdict, Returned):
            return verdict
        wanted = verdict.pictures[: share.part.images]
        got = await self._downloads.collect(wanted, partial(self._count, "download"), slot)
        return lost(got, served, idempotent=terms.idempotent) if isinstance(got, str) else Finished(got)
