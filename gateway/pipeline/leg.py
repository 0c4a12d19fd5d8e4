"""A leg: one provider as the pipeline uses it, with its governor, its two circuits and what was learned of its jobs."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from gateway.core.circuit import Circuit
from gateway.core.errors import NoCapacity, UpstreamFailed, UpstreamUnavailable
from gateway.core.job import Failure, job_of
from gateway.core.order import Order
from gateway.core.origin import origin
from gateway.core.pace import POLL_WORTH, Durations
from gateway.pipeline.arrivals import Arrivals
from gateway.pipeline.governor import Governor, requests_of
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
    Telemetry,
    Unfit,
    Unknown,
)

#: an upstream's 429 without a Retry-After
_DEFAULT_PAUSE = 5.0
_LEARNED = 5
NOT_ANSWERING = "The image provider is not answering just now."
REFUSED = "The image provider refuses the gateway's account."
NOT_UPLOADED = Failure(UpstreamFailed.code, "A reference image could not be handed to the image provider.")
_JITTER = 0.1
_POLLS_AT_ONCE = 100
#: seconds that a poll takes of the loop, and by which the loop is late when all in flight wait for it
_POLL_TAKES, _BEHIND = 0.001, 0.05
#: how much one rest changes what is known of the loop's lateness
_RELEARN = 0.05
#: seconds for which the address of an upload is used again; how long the provider keeps one is not known
_UPLOAD_LASTS = 600.0

_Outcome = TypeVar("_Outcome", Accepted | Finished | Declined | Unknown, Declined)
_Bucket = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an order would stand in the queue. It counts from when it is `taken` until its order is held and started.

    Seconds: until its images will likely have been made, of which it waits for its turn.
    """

    seconds: float
    taken: AbstractContextManager[None]
    wait: float = 0.0
    #: how many are begun before it, where the provider has a queue of its own
    ahead: int | None = None


class Leg:
    """Submits and reads have circuits of their own, so that paid jobs are still collected while submits are stopped."""

    def __init__(self, provider: Provider, governor: Governor, clock: Clock, telemetry: Telemetry) -> None:
        self.name = provider.name
        self.governor = governor
        self.provider = provider
        self._clock = clock
        self._telemetry = telemetry
        self._submits = Circuit()
        self._reads = Circuit()
        #: polls under way at once: they leave connections to the submits, and rounds of the loop to everybody else
        self.polling = asyncio.Semaphore(_POLLS_AT_ONCE)
        self._late = 0.0
        self._shown: dict[str, str] = {}
        self._durations: dict[_Bucket, Durations] = {}
        #: address of each reference by its name, and until when it is used
        self._uploaded: dict[str, tuple[str, float]] = {}
        self.arrivals = Arrivals()

    async def fits(self, order: Order) -> str | Unfit:
        """The class of what would make it here, however long that took."""
        try:
            return await self.provider.fits(order)
        except Exception as error:  # noqa: BLE001 - an order is not lost by whatever broke here: there may be another leg
            self._unforeseen("fits", error)
            return Unfit("absent", "it could not be asked")

    async def place(self, order: Order, team: str, calls: int, patience: float) -> Place:
        """Refuse before anything is held: raises NoCapacity when the circuit is open or the turn would come too late, and
        UpstreamUnavailable while our key or credit is refused. Raises StoreDown.

        Whoever takes the place does so before anything else is waited for: others would be shown it too.
        """
        pause = self._submits.wait(self._clock.monotonic())
        if pause > 0 and self._submits.refusing:
            raise UpstreamUnavailable(REFUSED, retry_after=pause)
        if pause > 0:
            raise NoCapacity(NOT_ANSWERING, retry_after=pause)
        requests = requests_of(calls, self.uploads(order))
        wait, before = await self.governor.expected_wait(requests), None
        with self.arrivals.looking() as landed:
            queue = await self.provider.ahead(order, team)
        if queue is not None:
            coming = self.arrivals.before(order.model, team, landed)
            wait, before = max(wait, queue.seconds + coming * queue.each), queue.pieces + coming
        durations = self.durations(order, order.count)
        if wait > 0 and wait + durations.due(0.0) > patience:
            raise NoCapacity("The queue for the image provider is too long just now.", retry_after=wait)
        return Place(wait + durations.median, self._announced(order.model, team, calls, requests), wait, before)

    @contextmanager
    def _announced(self, model: str, team: str, calls: int, requests: int) -> Iterator[None]:
        with self.governor.announced(requests), self.arrivals.announced(model, team, calls):
            yield

    async def forget(self, upstream_id: str) -> None:
        try:
            await self.provider.forget(upstream_id)
        except Exception as error:  # noqa: BLE001 - it forgets by itself in time, and the job has ended
            self._unforeseen("forget", error)

    def uploads(self, order: Order) -> int:
        """How many of its references are yet to be uploaded."""
        if self.provider.travel(order) != "ahead":
            return 0
        return sum(self._address(reference.name) is None for reference in order.references)

    async def send_ahead(self, order: Order, images: Sequence[Image]) -> Sequence[Image | str] | Declined:
        """The order's references as its submit, which has entered, takes them: uploaded, where this provider wants that."""
        if self.provider.travel(order) != "ahead":
            return images
        addresses: list[str] = []
        for reference, image in zip(order.references, images, strict=True):
            address = self._address(reference.name) or await self._upload(image)
            if isinstance(address, Declined):
                return address
            self._uploaded[reference.name] = (address, self._clock.monotonic() + _UPLOAD_LASTS)
            addresses.append(address)
        return addresses

    def _address(self, name: str) -> str | None:
        """Where that very image was uploaded to lately: an order of several submits sends it once."""
        now = self._clock.monotonic()
        self._uploaded = {name: upload for name, upload in self._uploaded.items() if upload[1] > now}
        return self._uploaded[name][0] if name in self._uploaded else None

    async def _upload(self, image: Image) -> str | Declined:
        await self.governor.turn_to_upload()
        try:
            address = await self.provider.upload(image)
        except Exception as error:  # noqa: BLE001 - an upload buys nothing: whatever broke here, the order ends unbought
            self._unforeseen("upload", error)
            address = Declined(NOT_UPLOADED)
        return address if isinstance(address, str) else await self._told(address)

    async def submit(
        self, share: Share, references: Sequence[Image | str], until_kept: ExitStack | None = None
    ) -> Accepted | Finished | Declined | Unknown:
        """One submit, which had entered. What the provider did not foresee is of unknown outcome like any lost answer."""
        try:
            outcome = await self.provider.submit(share, references, until_kept)
            self.arrivals.arrived(share.attempt)
        except Exception as error:  # noqa: BLE001 - an accepted submit must end in the journal, whatever broke here
            self._unforeseen("submit", error, job=job_of(share.attempt))
            outcome = Unknown("the gateway failed on the answer to the submit")
        return await self._told(outcome)

    async def _told(self, outcome: _Outcome) -> _Outcome:
        """Circuit and governor learn how the submit that entered has ended."""
        now = self._clock.monotonic()
        after = None
        if isinstance(outcome, Declined):
            after = _DEFAULT_PAUSE if outcome.limited and outcome.after is None else outcome.after
        if isinstance(outcome, Unknown):
            self._submits.failed(now, timeout=outcome.timeout)
        elif isinstance(outcome, Declined) and outcome.account:
            self._submits.refused(now)
        elif isinstance(outcome, Declined) and outcome.again and after is None:
            self._submits.failed(now)
        else:
            self._submits.succeeded(now)
        if isinstance(outcome, Declined) and outcome.limited:
            outcome = replace(outcome, after=after)
            await self.governor.exhausted(after or 0.0)
        await self.show()
        return outcome

    def enter_submit(self) -> float:
        """0: a submit may go, and must; else the seconds that the circuit of submits stays open."""
        return self._submits.enter(self._clock.monotonic())

    def leave_submit(self) -> None:
        """The submit that entered was dropped."""
        self._submits.left()

    @property
    def refusing(self) -> Failure:
        """Why no submit may enter."""
        if self._submits.refusing:
            return Failure(UpstreamUnavailable.code, REFUSED)
        return Failure(NoCapacity.code, NOT_ANSWERING)

    def read_pause(self) -> float:
        """Seconds that the circuit of reads stays open."""
        return self._reads.wait(self._clock.monotonic())

    async def poll(
        self, upstream_id: str, order: Order, age: float, until_kept: ExitStack | None = None
    ) -> Finished | Pending | Declined | Unknown | Later:
        """One poll; while the circuit of reads is open, Later without a call."""
        pause = self._reads.enter(self._clock.monotonic())
        if pause > 0:
            return Later("the circuit of reads is open", after=pause)
        try:
            outcome = await self.provider.poll(upstream_id, order, age, until_kept)
        except Exception as error:  # noqa: BLE001 - a poll that breaks us is a bad poll: it ends no job
            self._unforeseen("poll", error, upstream_id=upstream_id)
            outcome = Later("the gateway failed on the answer to the poll")
        now = self._clock.monotonic()
        if isinstance(outcome, Later):
            if outcome.account:
                self._reads.refused(now)
            else:
                self._reads.failed(now, timeout=outcome.timeout)
            if outcome.limited:
                await self.governor.exhausted(outcome.after or _DEFAULT_PAUSE)
        else:
            self._reads.succeeded(now)
        await self.show()
        return outcome

    async def prices(self) -> Mapping[str, Decimal] | None:
        """Dollars an image of each model as the provider says; None when it does not. One request, already taken."""
        try:
            return await self.provider.prices()
        except Exception as error:  # noqa: BLE001 - prices are only shown: whatever broke here, images are made all the same
            self._unforeseen("models", error)
            return None

    def durations(self, order: Order, images: int) -> Durations:
        """What is known of such jobs: of this size, steps and count once there is enough of it, else of the model."""
        own = self._durations.get(_bucket(order, images))
        if own is not None and own.seen >= _LEARNED:
            return own
        return self._durations.get((order.model, 0, 0, 0)) or Durations()

    def learn(self, order: Order, images: int, seconds: float) -> None:
        for bucket in (_bucket(order, images), (order.model, 0, 0, 0)):
            self._durations.setdefault(bucket, Durations()).learn(seconds)

    def rested(self, late: float) -> None:
        """A rest has ended so many seconds late."""
        self._late += _RELEARN * (max(late, 0.0) - self._late)

    @property
    def poll_worth(self) -> float:
        """Seconds of waiting that one poll is worth: in a loop that is behind, all in flight wait for each."""
        return POLL_WORTH + self.governor.in_flight * _POLL_TAKES * min(1.0, self._late / _BEHIND)

    def jitter(self, seconds: float) -> float:
        """Up to a tenth more or less, so that jobs of one burst do not poll in step."""
        return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load, guards nothing

    def states(self) -> dict[str, str]:
        now = self._clock.monotonic()
        return {"submit": self._submits.state(now), "read": self._reads.state(now)}

    def _unforeseen(self, op: str, error: Exception, **about: str) -> None:
        fields = {"provider": self.name, "op": op, **about, "raised": origin(error)}
        self._telemetry.log("error", "provider_failed", fields)

    async def show(self) -> None:
        """Told after each call, and now and then: an open circuit is half open by time alone, and an allowance fills up, also
        where no order comes."""
        now = self._clock.monotonic()
        for op, circuit in (("submit", self._submits), ("read", self._reads)):
            state = circuit.state(now)
            if self._shown.get(op) != state:  # three gauges a call, and it hardly ever changes
                self._shown[op] = state
                self._telemetry.circuit(self.name, op, state)
        left = await self.governor.left()
        if left is not None:
            self._telemetry.allowance(self.name, left)


def _bucket(order: Order, images: int) -> _Bucket:
    return (order.model, order.width * order.height, order.steps, images)
