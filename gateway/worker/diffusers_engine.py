"""FLUX.2 Klein by diffusers. Importing this takes seconds and wants the extra `worker`: only who opens an engine does it.

What the library does silently and is held here: sizes are floored to multiples of 16, special tokens in a prompt are obeyed,
50 steps are the default, NaN is a black picture, and a second pipeline on the same weights turns them all to 32 bits.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Any

import torch
from diffusers import Flux2KleinInpaintPipeline, Flux2KleinPipeline
from diffusers.utils import logging
from PIL import Image, ImageOps

from gateway.core.worker_messages import Memory
from gateway.ports import Clock
from gateway.worker import diffusers_memory, pipeline_limits
from gateway.worker.diffusers_steps import Steps
from gateway.worker.engine import (
    Abilities,
    Batch,
    Engine,
    EngineLost,
    Failure,
    Made,
    OnStep,
    Piece,
    Pixels,
    Shape,
)

#: The deepest of the text encoder's layers that the pipeline reads.
_DEEPEST = 27
#: Shapes that are compiled.
_MOST_SHAPES = 64
#: Embeddings kept for the next images of a prompt, of 8 MB each.
_KEPT_PROMPTS = 8

_TOO_LARGE = Failure("too_large", "out of memory, and alone")
_OOM = Failure("oom", "out of memory")


def open_engine(  # noqa: PLR0913 - as below
    clock: Clock,
    source: str,
    revision: str = "",
    *,
    model: str = "",
    device: str = "",
    most_pixels: int = 1024 * 1024,
    compiled: bool = False,
) -> "DiffusersEngine":
    """`source`: a folder, which is read without a look at any hub, or a hub's id (`HF_HUB_OFFLINE` is the hub library's own).

    `model`: what orders call it, if not by its source. `device`: CUDA if there is any, else the CPU. Raises OSError where
    there is no such model.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    pipe = Flux2KleinPipeline.from_pretrained(
        source,
        revision=revision or None,
        dtype=torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32,
        local_files_only=Path(source).is_dir(),
    )
    return engine_of(clock, pipe, device, model or source, revision, most_pixels=most_pixels, compiled=compiled)


def engine_of(  # noqa: PLR0913 - what an engine is asked for
    clock: Clock,
    pipe: Flux2KleinPipeline,
    device: str,
    model: str,
    revision: str = "",
    *,
    most_pixels: int = 1024 * 1024,
    compiled: bool = False,
) -> "DiffusersEngine":
    """An engine of a pipeline that was loaded, or built; which is changed, and no one else's any more."""
    logging.set_verbosity_error()  # it warns of each guidance that a distilled model ignores
    truncate(pipe.text_encoder)
    pipe.to(device)
    if compiled:
        compile_parts(pipe)
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    abilities = Abilities(model, revision, "diffusers", name, most_pixels, most_references=4, masks=True)
    return DiffusersEngine(clock, pipe, abilities, compiled=compiled)


def compile_parts(pipe: Flux2KleinPipeline, backend: str = "inductor") -> None:
    """The blocks of the transformer, of which each kind is compiled once, and the decoder: a third faster, after minutes."""
    torch._dynamo.config.recompile_limit = _MOST_SHAPES  # noqa: SLF001 - there is no other way; at its 8 the ninth shape fails
    pipe.transformer.compile_repeated_blocks(fullgraph=True, dynamic=False, backend=backend)
    pipe.vae.decoder.compile(dynamic=False, backend=backend)


def truncate(text_encoder: Any) -> bool:  # noqa: ANN401 - as all that comes from transformers
    """Drop what is computed and never read: the layers behind the deepest, the last norm, the logits of 512 tokens.

    Saves 1.8 GB and a third of the encoder's time, and changes no bit. Not where the deepest layer is the last: its output is
    read behind the norm. False says that nothing was dropped.
    """
    config = text_encoder.config
    if config.model_type != "qwen3" or config.num_hidden_layers <= _DEEPEST:
        return False
    text_encoder.model.layers = text_encoder.model.layers[:_DEEPEST]
    config.num_hidden_layers = _DEEPEST
    text_encoder.model.norm = torch.nn.Identity()
    text_encoder.lm_head = torch.nn.Identity()
    return True


class DiffusersEngine(Engine):
    def __init__(self, clock: Clock, pipe: Flux2KleinPipeline, abilities: Abilities, *, compiled: bool = False) -> None:
        self._clock = clock
        self._compiled = compiled
        self._pipe = pipe
        # Its own default is to convert the weights, which are shared, to float32.
        self._inpaint = Flux2KleinInpaintPipeline.from_pipe(pipe, dtype=pipe.dtype)
        for each in (self._pipe, self._inpaint):
            each.set_progress_bar_config(disable=True)
        self._abilities = abilities
        self._special = _special(pipe.tokenizer)
        self._prompts: OrderedDict[tuple[str, int], torch.Tensor] = OrderedDict()
        #: images that share a call, by its tokens and references, where more of them were out of memory
        self._most: dict[tuple[int, int], int] = {}
        self._ooms = 0
        self._thread: int | None = None

    @property
    def abilities(self) -> Abilities:
        return self._abilities

    def warm_up(self, shapes: tuple[Shape, ...]) -> None:
        for shape in shapes:
            (outcome,) = self.make(Batch(shape, (Piece("", 0),)), lambda _step: None).outcomes
            if isinstance(outcome, Failure):
                raise EngineLost(f"warm-up of {shape.width}x{shape.height}: {outcome.message}")
        if self._compiled and shapes:
            # What comes in another shape is made uncompiled: no order waits a minute for a compiler.
            torch.compiler.set_stance("eager_on_recompile")

    def make(self, batch: Batch, on_step: OnStep) -> Made:
        self._stay_in_thread()
        began, count, ooms = self._clock.monotonic(), len(batch.pieces), self._ooms
        diffusers_memory.begin(self._pipe.device)
        outcomes: list[Pixels | Failure] = []
        refusal = self._abilities.refusal(batch) or pipeline_limits.refusal(batch)
        if refusal is not None:
            outcomes = [refusal] * count
        else:
            most = self._most.get(_weight(batch), count)
            for start in range(0, count, most):
                outcomes += self._made(batch, range(start, min(start + most, count)), on_step)
        return Made(tuple(outcomes), self._clock.monotonic() - began, self._ooms - ooms)

    def memory(self) -> Memory | None:
        return diffusers_memory.memory(self._pipe.device)

    def _stay_in_thread(self) -> None:
        """The scheduler holds the state of a call: from four threads not one picture in sixteen was right."""
        if self._thread is None:
            self._thread = get_ident()
        if self._thread != get_ident():
            raise RuntimeError("an engine belongs to the thread that used it first")

    def _made(self, batch: Batch, places: range, on_step: OnStep) -> list[Pixels | Failure]:
        """Out of memory, it is tried in two halves, and no further: the next piece waits behind every try."""
        made = self._attempt(batch, places, on_step)
        if made is not None:
            return made
        if len(places) == 1:
            return [_TOO_LARGE]
        half = (len(places) + 1) // 2
        outcomes: list[Pixels | Failure] = []
        for part in (places[:half], places[half:]):
            made = self._attempt(batch, part, on_step)
            outcomes += [_TOO_LARGE if len(part) == 1 else _OOM] * len(part) if made is None else made
        return outcomes

    def _attempt(self, batch: Batch, places: range, on_step: OnStep) -> list[Pixels | Failure] | None:
        """None: out of memory."""
        try:
            # The error's traceback holds the tensors of the call: memory comes back only when it is gone.
            with suppress(torch.OutOfMemoryError), torch.no_grad():
                return self._call(batch, places, on_step)
        except torch.AcceleratorError as error:
            raise EngineLost(_line(error)) from error  # every later call to the GPU fails as well
        except (RuntimeError, ValueError) as error:
            return [Failure("lost", _line(error))] * len(places)
        self._ooms += 1
        self._prompts.clear()
        torch.cuda.empty_cache()
        self._most[_weight(batch)] = (len(places) + 1) // 2
        return None

    def _call(self, batch: Batch, places: range, on_step: OnStep) -> list[Pixels | Failure]:
        shape, pieces = batch.shape, batch.pieces[places.start : places.stop]
        noise = torch.cat([self._noise(piece.seed, shape) for piece in pieces])
        pipe: Callable[..., Any]
        if batch.mask is not None:
            size, (first,) = (shape.width, shape.height), batch.references
            # At full strength, since a share of four steps would leave too little of what was asked for.
            pipe = partial(
                self._inpaint,
                image=ImageOps.fit(first, size),
                mask_image=ImageOps.fit(batch.mask, size, Image.Resampling.NEAREST),
                strength=1.0,
            )
        else:
            pipe = partial(self._pipe, image=[pipeline_limits.grown(each) for each in batch.references] or None)
        (latents,) = pipe(
            prompt_embeds=torch.cat([self._embedded(piece.prompt, shape.max_sequence_length) for piece in pieces]),
            latents=noise,
            width=shape.width,
            height=shape.height,
            num_inference_steps=shape.steps,
            guidance_scale=shape.guidance,
            max_sequence_length=shape.max_sequence_length,
            callback_on_step_end=Steps(self._preview, noise, places, on_step),
            output_type="latent",
            return_dict=False,
        )
        return [self._decoded(latent) for latent in latents.split(1)]

    def _embedded(self, prompt: str, length: int) -> torch.Tensor:
        """Alone, since n images have one prompt; a prompt is padded to the full length, so company changes nothing of it."""
        if (prompt, length) not in self._prompts:
            # a space, since what stood around a token might be one without it
            plain = self._special.sub(" ", prompt)
            self._prompts[prompt, length], _ids = self._pipe.encode_prompt(plain, max_sequence_length=length)
            if len(self._prompts) > _KEPT_PROMPTS:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end((prompt, length))
        return self._prompts[prompt, length]

    def _noise(self, seed: int, shape: Shape) -> torch.Tensor:
        """Drawn on the CPU in 32 bits: the same on every GPU, and beside any neighbour."""
        size = (1, self._pipe.transformer.config.in_channels, shape.height // 16, shape.width // 16)
        noise = torch.randn(size, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)
        return noise.to(device=self._pipe.device, dtype=self._pipe.dtype)

    def _preview(self, estimate: torch.Tensor) -> Pixels:
        """Of patches as the pipeline denoises them, normalised; as it does itself behind its last step."""
        norm = self._pipe.vae.bn
        deviation = torch.sqrt(norm.running_var.view(1, -1, 1, 1) + self._pipe.vae.config.batch_norm_eps)
        wide = estimate * deviation.to(estimate.dtype) + norm.running_mean.view(1, -1, 1, 1).to(estimate.dtype)
        _, channels, height, width = wide.shape
        patches = wide.reshape(1, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        return self._rgb(self._vision(patches.reshape(1, channels // 4, height * 2, width * 2)))

    def _decoded(self, latent: torch.Tensor) -> Pixels | Failure:
        """One by one, as large as memory must be for one; NaN would come out as a black picture."""
        seen = self._vision(latent)
        if not bool(torch.isfinite(seen).all()):
            return Failure("lost", "the picture holds what is not a number")
        return self._rgb(seen)

    def _vision(self, latent: torch.Tensor) -> torch.Tensor:
        return self._pipe.vae.decode(latent, return_dict=False)[0][0].float()

    def _rgb(self, seen: torch.Tensor) -> Pixels:
        """Rounded on the device: a quarter of the bytes cross over."""
        levels = (seen * 0.5 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu()
        height, width, _ = levels.shape
        return Pixels(levels.numpy().tobytes(), width, height)


def _special(tokenizer: Any) -> re.Pattern[str]:  # noqa: ANN401
    """What a tokenizer obeys wherever it stands: a prompt could end its own turn and begin another."""
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    return re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)))


def _weight(batch: Batch) -> tuple[int, int]:
    return batch.shape.tokens, len(batch.references) + (batch.mask is not None)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]
