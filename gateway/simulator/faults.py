"""Faults on the wire, drawn from a seed: what reaches the client of an answer that the simulator has already made."""

import random
from dataclasses import dataclass, replace
from typing import Literal

from gateway.simulator.options import Fault, Options

End = Literal["whole", "cut", "lost", "reset", "drip"]


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer as it goes out. `end`: whole; cut in the middle of its body; lost (FIN) or reset (RST) before any byte;
    dripped over four seconds.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: int = 0
    end: End = "whole"


class Faults:
    def __init__(self, options: Options) -> None:
        self._rates = options.faults
        # a sequence of its own: a fault more or less must not change what is drawn for the jobs
        self._dice = random.Random(options.random_seed + 1)  # noqa: S311 - a simulation repeats itself

    def draw(self, operation: str) -> Fault | None:
        """The fault that befalls this `submit`, `poll`, `upload` or `cdn`, if any."""
        point = self._dice.random()
        for fault, rate in self._rates.items():
            if fault.startswith(operation + "_"):
                if point < rate:
                    return fault
                point -= rate
        return None


def befall(sent: Sent, fault: Fault) -> Sent:
    """What `fault` makes of an answer."""
    kind = fault.partition("_")[2]
    if kind in ("500", "502"):
        return Sent(int(kind), b"<html>oops</html>", "text/html")
    if kind == "garbage":
        return Sent(sent.status, b"\xff\xfe{]garbage")
    ends: dict[str, End] = {"cut": "cut", "lost": "lost", "reset": "reset", "drip": "drip"}
    return replace(sent, end=ends.get(kind, "whole"))
