"""EmpirioLabs as a provider: orders go out as async jobs (or held requests), pictures come back. Rules 3, 4, 10 and 11."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Literal

from gateway.core.order import Order, Part
from gateway.core.policy import Policies
from gateway.ports import (
    Accepted,
    Clock,
    Declined,
    Finished,
    Image,
    Later,
    Pending,
    Provider,
    Share,
    Travel,
    Unfit,
    Unknown,
)
from gateway.providers.addresses import origin_of
from gateway.providers.downloads import Downloads, Lines, open_lines
from gateway.providers.empiriolabs_rates import MAX_CATALOGUE, read_rates
from gateway.providers.empiriolabs_refusal import NOT_HANDED_OVER, NOT_SENT
from gateway.providers.empiriolabs_result import MAX_IMAGE
from gateway.providers.empiriolabs_upload import MAX_ANSWER, form, judge_upload
from gateway.providers.empiriolabs_wire import ResultKind, Returned, is_job_id, judge_poll, judge_submit, payload
from gateway.providers.large_bodies import Places, made, seconds_to_send
from gateway.providers.reply import Broken
from gateway.providers.transport import Call, Limits, Slot

#: `on_request(op, code)`: op is submit, upload, poll, download or models; code an HTTP status, `timeout`, `unreachable`
#: or `cut`.
OnRequest = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. `connect` includes the wait for a free connection; `poll_body` is what a poll may take once it is answered.
    Submits and uploads have more by what their body takes on a slow line."""

    connect: float = 10.0
    submit: float = 30.0
    hold: float = 300.0
    upload: float = 30.0
    poll: float = 30.0
    poll_body: float = 30.0
    download: float = 60.0


@dataclass(frozen=True, slots=True)
class Model:
    """How one model is asked for, from its policy. `moderation`: lower-case pieces of an error that mean refused content."""

    result: ResultKind = "b64_json"
    references: Literal["data", "upload"] = "data"
    hold: bool = False
    moderation: tuple[str, ...] = ()


def models_of(policies: Policies) -> dict[str, Model]:
    """Every model that has an `[empiriolabs]` table."""
    return {
        model.id: Model(
            result=model.empiriolabs.result,
            references=model.empiriolabs.references,
            hold=policies.route(model.id).upstream_wait == "hold",
            moderation=tuple(model.moderation.markers),
        )
        for model in policies.models.values()
        if model.empiriolabs is not None
    }


@dataclass(frozen=True, slots=True)
class Account:
    """Where and as whom to buy. `private_hosts`: `host` or `host:port` of results on private addresses."""

    url: str
    key: str = field(repr=False)
    models: Mapping[str, Model] = field(default_factory=dict)
    private_hosts: tuple[str, ...] = ()
    deadlines: Deadlines = Deadlines()
    #: bytes of an answer to a submit or a poll, which may hold the base64 of four images
    largest: int = MAX_IMAGE


class EmpirioLabs(Provider):
    """Keeps no state between calls but the places of large results. An order's size need not be that of its images: they are
    reported as measured.

    Raises ValueError for a key or an address that no request can carry: found at a submit, it would look like a lost one.
    """

    name = "empiriolabs"

    def __init__(self, account: Account, lines: Lines, clock: Clock, on_request: OnRequest | None = None) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", account.key):
            raise ValueError("an EmpirioLabs key is printable ASCII without blanks")
        own = origin_of(account.url)
        if own is None:
            raise ValueError("EmpirioLabs' address is a plain http(s) URL in ASCII")
        self._account = account
        self._models = dict(account.models)
        self._url = account.url.rstrip("/")
        self._headers = {"authorization": f"Bearer {account.key}", "accept": "application/json"}
        self._line = lines.trusted
        self._places = Places(clock)
        self._count = on_request or (lambda _op, _code: None)
        self._downloads = Downloads(lines, own, account.private_hosts, clock, account.deadlines.download)

    def serve(self, models: Mapping[str, Model]) -> None:
        """By new policies. A model that they have lost is served on, to orders that were read before."""
        self._models |= models

    async def fits(self, order: Order) -> str | Unfit:
        if order.model not in self._models:
            return Unfit("unable", "it does not serve this model")
        return Unfit("unable", "it takes no masks", "mask") if order.mask is not None else self.name

    def travel(self, order: Order) -> Travel:
        return "ahead" if order.references and self._model(order).references == "upload" else "within"

    async def upload(self, reference: Image) -> str | Declined:
        """One POST. The address is good for every model."""
        content_type, body = form(reference)
        call = Call("POST", f"{self._url}/v1/files/upload", self._headers | {"content-type": content_type}, body)
        seconds = self._account.deadlines.upload + seconds_to_send(body)
        reply = await self._line.call(call, Limits(seconds, seconds, MAX_ANSWER), self._places.slot())
        self._count("upload", reply.code)
        if isinstance(reply, Broken):
            return Declined(NOT_SENT if reply.unsent else NOT_HANDED_OVER, again=True)
        return judge_upload(reply)

    async def submit(
        self, share: Share, references: Sequence[Image | str], until_kept: ExitStack | None = None
    ) -> Accepted | Finished | Declined | Unknown:
        """One POST, never repeated. Of more images than asked for, the first `part.images` are taken."""
        return await self._places.in_place(partial(self._submit, share.order, share.part, references), until_kept)

    async def poll(
        self, upstream_id: str, order: Order, age: float, until_kept: ExitStack | None = None
    ) -> Finished | Pending | Declined | Unknown | Later:
        """One GET, and the downloads if the job is done. At most `order.count` images are taken: a poll does not know its
        part, so whoever asked for fewer cuts the rest off."""
        return await self._places.in_place(partial(self._poll, upstream_id, order, age), until_kept)

    async def prices(self) -> Mapping[str, Decimal] | None:
        """One GET, of the whole catalogue."""
        return await self._places.in_place(self._prices, None)

    async def _submit(
        self, order: Order, part: Part, references: Sequence[Image | str], slot: Slot
    ) -> Accepted | Finished | Declined | Unknown:
        model = self._model(order)
        write = partial(payload, order, part, references, result=model.result, hold=model.hold)
        body = await made(write, sum(len(image.data) for image in references if isinstance(image, Image)))
        call = Call(
            "POST", f"{self._url}/v1/images/generations", self._headers | {"content-type": "application/json"}, body
        )
        seconds = self._account.deadlines.hold if model.hold else self._account.deadlines.submit
        seconds += seconds_to_send(body)
        reply = await self._line.call(call, Limits(seconds, seconds, self._account.largest), slot)
        self._count("submit", reply.code)
        if isinstance(reply, Broken):
            return _not_answered(reply)
        verdict = await made(partial(judge_submit, reply, model.moderation), len(reply.body))
        if not isinstance(verdict, Returned):
            return verdict
        finished = await self._collect(verdict, part.images, slot)
        if isinstance(finished, Finished):
            return finished
        # Made and charged. With an id, polls will name fresh URLs; without one, nobody can ask for it again.
        return Accepted(verdict.upstream_id) if verdict.upstream_id else Unknown(finished)

    async def _poll(
        self, upstream_id: str, order: Order, age: float, slot: Slot
    ) -> Finished | Pending | Declined | Unknown | Later:
        if not is_job_id(upstream_id):
            return Unknown("a job id that no path can hold")
        call = Call("GET", f"{self._url}/v1/jobs/{upstream_id}", self._headers)
        times = self._account.deadlines
        limits = Limits(times.poll, times.poll + times.poll_body, self._account.largest)
        reply = await self._line.call(call, limits, slot)
        self._count("poll", reply.code)
        if isinstance(reply, Broken):
            return Later(f"poll: {reply.reason}", timeout=reply.code == "timeout")
        verdict = await made(partial(judge_poll, reply, age, self._model(order).moderation), len(reply.body))
        if not isinstance(verdict, Returned):
            return verdict
        finished = await self._collect(verdict, order.count, slot)
        return finished if isinstance(finished, Finished) else Later(finished)

    async def _prices(self, slot: Slot) -> Mapping[str, Decimal] | None:
        call = Call("GET", f"{self._url}/v1/models", self._headers)
        seconds = self._account.deadlines.poll
        reply = await self._line.call(call, Limits(seconds, seconds, MAX_CATALOGUE), slot)
        self._count("models", reply.code)
        return None if isinstance(reply, Broken) else await made(partial(read_rates, reply), len(reply.body))

    async def _collect(self, returned: Returned, most: int, slot: Slot) -> Finished | str:
        got = await self._downloads.collect(returned.pictures[:most], partial(self._count, "download"), slot)
        return got if isinstance(got, str) else Finished(got, returned.seconds)

    def _model(self, order: Order) -> Model:
        return self._models.get(order.model, Model())


def _not_answered(submit: Broken) -> Declined | Unknown:
    if submit.unsent:
        return Declined(NOT_SENT, again=True)
    return Unknown(f"submit: {submit.reason}", timeout=submit.code == "timeout")


@asynccontextmanager
async def open_empiriolabs(
    account: Account, clock: Clock, on_request: OnRequest | None = None
) -> AsyncIterator[EmpirioLabs]:
    """The provider with its connections, which close behind it. End every call before that."""
    async with open_lines(clock, account.deadlines.connect) as lines:
        yield EmpirioLabs(account, lines, clock, on_request)
