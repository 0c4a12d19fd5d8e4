"""The steps of a call of diffusers: told as they are done, with an estimate of what becomes of each picture."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from gateway.worker.engine import OnStep, Pixels, Step


class Steps:
    """Hears of the steps of one call, and keeps what the estimate of the result wants: the latents before and after."""

    def __init__(
        self, decode: Callable[[torch.Tensor], Pixels], noise: torch.Tensor, places: range, on_step: OnStep
    ) -> None:
        self._decode = decode
        self._size = noise.shape
        self._after = noise.flatten(2).transpose(1, 2)  # packed as the pipeline does: a row for each patch
        self._places = places
        self._on_step = on_step

    def __call__(self, pipe: Any, index: int, _time: object, values: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
        before, self._after = self._after, values["latents"]
        if self._after.is_cuda:
            # Kernels are only queued so far. A step is told when it is done, so that a hang shows and a cancellation counts.
            torch.cuda.synchronize(self._after.device)
        estimate = partial(self._estimate, before, self._after, pipe.scheduler.sigmas[index : index + 2])
        self._on_step(Step(index + 1, pipe.num_timesteps, self._places, estimate))
        return values

    def _estimate(self, before: torch.Tensor, after: torch.Tensor, sigmas: torch.Tensor, place: int) -> Pixels:
        """Where the last step points to. The latents themselves are three quarters noise until the very last of four steps."""
        (noisier, cleaner), row = sigmas.tolist(), self._places.index(place)
        now, then = after[row : row + 1].float(), before[row : row + 1].float()
        velocity = (now - then) / (cleaner - noisier)
        clear = (now - cleaner * velocity).to(after.dtype)
        _, channels, height, width = self._size
        return self._decode(clear.transpose(1, 2).reshape(1, channels, height, width))
