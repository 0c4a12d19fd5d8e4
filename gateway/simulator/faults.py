"""Faults on the wire, drawn from a seed: what reaches the client of an answer that the simulator has already made."""

import random
from dataclasses import dataclass

from gateway.simulator.options import Options


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer as it goes out; `cut` ends the connection after so many bytes of the body, `lost` before any byte."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: int | None = None
    cut: int | None = None
    lost: bool = False
    drip: bool = False


class Faults:
    def __init__(self, options: Options) -> None:
        self._rates = options.faults
        # a sequence of its own: a fault more or less must not change what is drawn for the jobs
        self._dice = random.Random(options.seed + 1)  # noqa: S311 - a simulation repeats itself

    def draw(self, operation: str) -> str | None:
        """The fault that befalls this `submit`, `poll` or `cdn`, if any."""
        point = self._dice.random()
        for name, rate in self._rates.items():
            if name.startswith(operation + "_"):
                if point < rate:
                    return name
                point -= rate
        return None

    @staticmethod
    def befall(sent: Sent, fault: str) -> Sent:
        kind = fault.partition("_")[2]
        if kind == "500":
            return Sent(500, b"<html>oops</html>", "text/html")
        if kind == "cut":
            return Sent(sent.status, sent.body, cut=len(sent.body) // 2)
        if kind == "lost":
            return Sent(sent.status, sent.body, lost=True)
        if kind == "garbage":
            return Sent(sent.status, b"\xff\xfe{]garbage")
        return Sent(sent.status, sent.body, drip=True)
