"""Jobs: the journal that a restart reads."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, Protocol

from gateway.core.job import Attempt, Failure, Job, Passed, Status
from gateway.ports.money import Unconfirmed

#: What a cancellation spares: what anybody was told of (`detached`), or what another job follows.
Spare = Literal["promised", "followed"]


class Jobs(Protocol):
    @abstractmethod
    async def job(self, job_id: str) -> Job | None: ...

    @abstractmethod
    async def list_jobs(
        self, *, team: str | None = None, status: Status | None = None, limit: int = 20, after: str | None = None
    ) -> Sequence[Job]:
        """Newest first; `after` is the id of the last one seen."""

    @abstractmethod
    async def submitting(self, attempt_id: str, now: int, maker: str) -> bool:
        """Durable before the submit leaves. False when the attempt is no longer `reserved` (it was cancelled), or when its
        job is another replica's by now."""

    @abstractmethod
    async def submitted(self, attempt_id: str, upstream_id: str) -> None:
        """Also for an unconfirmed one without an id: its maker had been taken for dead, and knows better."""

    @abstractmethod
    async def unsubmitted(self, attempt_id: str, submitted_at: int, failure: Failure, now: int) -> bool:
        """The upstream provably took nothing of the submit that left at `submitted_at`: back to `reserved`, so that another
        try is no second purchase.

        Where another replica has taken the job over and the attempt for unconfirmed, it is released with `failure` in the
        same step. False: it is not to be tried again; nothing changed if it was submitted at another moment since.
        """

    @abstractmethod
    async def unconfirmed(self, attempt_id: str, failure: Failure, now: int, upstream_id: str | None = None) -> bool:
        """The hold stays open until it is resolved. `upstream_id` is what the caller knows: under another, of which a maker
        who was taken for dead has heard since, nothing changes. Whether it is unconfirmed now."""

    @abstractmethod
    async def moved(
        self,
        attempt_id: str,
        provider: str,
        price: int,
        passed: Sequence[Passed],
        now: int,
        *,
        maker: str | None = None,
    ) -> bool:
        """ONE transaction: the attempt is to be made at another leg, at that price an image, by way of all that it has
        `passed`: it is back to `reserved`, and what it was at the last one (its submit, its upstream id) is gone. Its job
        answers for no equal order any more, since another engine paints another picture; those that follow it stay.

        False, and nothing changed: it is not live, or was cancelled, or its job is another's than this `maker`'s, where one
        is named. Moved there already: whether it is still `reserved`, and nothing changed.
        """

    @abstractmethod
    async def detach(self, job_id: str) -> None: ...

    @abstractmethod
    async def cancel(
        self,
        job_id: str,
        failure: Failure,
        now: int,
        *,
        unless: Spare | None = None,
        recalled: Sequence[str] = (),
    ) -> bool:
        """ONE transaction: release every attempt if all are still `reserved`, or `submitting` or `submitted` at one of those
        providers, which are `recalled` from there; and the job is not one to spare. False, and nothing changed, otherwise."""

    @abstractmethod
    async def followers(self, job_id: str, most: int) -> Sequence[tuple[str, int]]:
        """The ids of those that follow the job, and when each was asked for: the first of them, in order."""

    @abstractmethod
    async def open_jobs(self) -> Sequence[Job]:
        """Jobs with an attempt that is reserved, submitting or submitted; not those that follow another."""

    @abstractmethod
    async def oldest_submitted(self) -> int | None:
        """When the longest running submit left: of the attempts that are submitting or submitted."""

    @abstractmethod
    async def unconfirmed_attempts(self, submitted_before: int) -> Sequence[tuple[Job, Attempt]]:
        """Unconfirmed attempts whose submit is older than that, oldest first."""

    @abstractmethod
    async def unconfirmed_total(self) -> Unconfirmed: ...
