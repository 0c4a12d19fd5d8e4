"""How a worker is, for whoever looks at its terminal."""

from collections import deque
from dataclasses import dataclass, field

#: Seconds over which the rate is told.
_WINDOW = 60.0


@dataclass(slots=True)
class Status:
    model: str
    gpu: str = ""
    state: str = "starting"
    pieces: int = 0
    failed: int = 0
    images: int = 0
    step: int = 0
    of: int = 0
    #: images of the call that runs
    batch: int = 0
    waiting: int = 0
    uploading: int = 0
    #: the gateway does not answer
    silent: bool = False
    _made: deque[float] = field(default_factory=deque)

    def made(self, images: int, now: float) -> None:
        self.images += images
        self._made.extend([now] * images)

    def rate(self, now: float) -> float:
        """Images a second, of late."""
        while self._made and now - self._made[0] > _WINDOW:
            self._made.popleft()
        if not self._made:
            return 0.0
        return len(self._made) / max(now - self._made[0], 1.0)
