"""The account: who is let in, 50 requests a minute, credit, and a ledger of what was bought that no restart of a client
can change."""

import json
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from gateway.simulator.clock import FastClock
from gateway.simulator.options import Options
from gateway.simulator.references import Reference
from gateway.simulator.wire import RefusedError

KEY_PREFIX = "sk-empiriolabs-"
_WINDOW = 60.0


@dataclass(slots=True)
class Bought:
    """One accepted submit, remembered for ever. `references`: its images but those named by http(s), which nobody saw."""

    job_id: str
    prompt: str
    seed: int
    seed_asked: int | None
    asked: int
    accepted_at: float
    references: tuple[Reference, ...] = ()
    status: str = "queued"
    billed_images: int = 0
    polls: int = 0


@dataclass(slots=True)
class Ledger:
    """`requests`: how many came, by `operation status`."""

    file: TextIO | None = None
    bought: dict[str, Bought] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def accept(self, bought: Bought) -> None:
        self.bought[bought.job_id] = bought
        self._write({"event": "accepted", **asdict(bought)})

    def end(self, job_id: str, status: str, images: int) -> None:
        bought = self.bought[job_id]
        bought.status, bought.billed_images = status, images
        self._write({"event": "ended", "job_id": job_id, "status": status, "billed_images": images})

    def count(self, operation: str, status: int | str) -> None:
        self.requests[f"{operation} {status}"] += 1

    def show(self) -> dict[str, Any]:
        return {
            "submits": len(self.bought),
            "images": sum(bought.billed_images for bought in self.bought.values()),
            "jobs": [asdict(bought) for bought in self.bought.values()],
            "requests": dict(self.requests),
        }

    def _write(self, line: dict[str, Any]) -> None:
        if self.file is not None:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()


class Door:
    """Authentication, the sliding minute, and credit."""

    def __init__(self, options: Options, clock: FastClock, ledger: Ledger) -> None:
        self._options = options
        self._clock = clock
        self._ledger = ledger
        self._spent: deque[float] = deque()

    def enter(self, headers: Mapping[str, str]) -> None:
        """Raises RefusedError: 401, 429."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
        key = bearer or headers.get("x-api-key", "")
        if not key:
            raise RefusedError(401, "missing_api_key", "an API key is required")
        if key not in self._options.keys if self._options.keys else not key.startswith(KEY_PREFIX):
            raise RefusedError(401, "invalid_api_key", "the API key is not valid")
        self._allow()

    def charge(self, images: int) -> None:
        """Raises RefusedError when the credit does not cover so many more images."""
        if self._options.credits is None:
            return
        bought = self._ledger.bought.values()
        spent = sum(each.asked if each.status == "queued" else each.billed_images for each in bought)
        if (spent + images) * self._options.price > self._options.credits:
            raise RefusedError(402, "insufficient_credits", "the account has no credit left")

    def _allow(self) -> None:
        if not self._options.rpm:
            return
        now = self._clock.now()
        while self._spent and self._spent[0] <= now - _WINDOW:
            self._spent.popleft()
        if len(self._spent) >= self._options.rpm:
            wait = max(1, round(self._spent[0] + _WINDOW - now))
            raise RefusedError(429, "rate_limit_exceeded", "too many requests a minute", retry_after=wait)
        self._spent.append(now)
