"""Telemetry: what the pipeline tells of itself."""

from abc import abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from gateway.core.job import Job

Fields = Mapping[str, str | int | float | bool | None]


class Telemetry(Protocol):
    """What the pipeline tells of itself. Label values are from closed sets; never a prompt, a secret, a request id."""

    @abstractmethod
    def jobs_in_flight(self, provider: str, change: int) -> None: ...

    @abstractmethod
    def job_ended(self, provider: str, model: str, outcome: str) -> None: ...

    @abstractmethod
    def ended(self, job: Job) -> None:
        """A whole job has come to its end: told once, by whoever makes it or has cancelled it."""

    @abstractmethod
    def collected(self, provider: str, polls: int, excess_seconds: float | None) -> None: ...

    @abstractmethod
    def upstream_request(self, provider: str, op: str, code: str) -> None: ...

    @abstractmethod
    def circuit(self, provider: str, op: str, state: str) -> None: ...

    @abstractmethod
    def allowance(self, provider: str, left: int) -> None: ...

    @abstractmethod
    def rate_card(self, model: str, drift: Decimal | None) -> None:
        """Dollars an image by which the provider's price lies above the policy's; None while that is not known."""

    @abstractmethod
    def spent(self, *, team: str, key_id: str, model: str, images: int, amount: int, source: str) -> None: ...

    @abstractmethod
    def cached(self, model: str, result: str) -> None:
        """How an order came to its job: miss, bypass, hit, joined or replayed."""

    @abstractmethod
    def saved(self, team: str, model: str, images: int, amount: int) -> None:
        """Pictures that were found made: micro-dollars that they would have cost."""

    @abstractmethod
    def routed(self, model: str, provider: str, decision: str) -> None:
        """What became of a leg when an order's way was chosen: `taken`, or a reason of core.job.PassedFor."""

    @abstractmethod
    def engine_call(self, model: str, images: int, seconds: float) -> None:
        """A worker's engine made so many images at once."""

    @abstractmethod
    def rejected(self, reason: str, team: str) -> None: ...

    @abstractmethod
    def log(self, level: str, event: str, fields: Fields) -> None: ...
