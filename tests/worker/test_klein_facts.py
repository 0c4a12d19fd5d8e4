"""What the engine takes for granted of the library. A new release that breaks one of these breaks pictures, not imports."""

from pathlib import Path
from typing import Any

import pytest
from batches import alone, batch, gradient, image, levels_apart, pictures, shape, unheard

from gateway.pipeline.system_clock import SystemClock
from gateway.worker.engine import Batch

pytest_plugins = ["klein_stand"]
pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="the extra `worker` is not installed")
diffusers = pytest.importorskip("diffusers", reason="the extra `worker` is not installed")
engines = pytest.importorskip("gateway.worker.diffusers_engine", reason="the extra `worker` is not installed")


@pytest.fixture(scope="module")
def stock(tiny: Path) -> Any:
    """The pipeline as the library loads it."""
    pipe = diffusers.Flux2KleinPipeline.from_pretrained(tiny, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def of_stock(pipe: Any, prompts: list[str], seeds: list[int], **changes: Any) -> list[Any]:
    asked = {"width": 64, "height": 96, "num_inference_steps": 4, "guidance_scale": 1.0, **changes}
    made: list[Any] = pipe(
        prompt=prompts, generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds], **asked
    ).images
    return made


def test_the_engine_makes_what_the_library_makes(klein: Any, stock: Any) -> None:
    """Noise by hand, embeddings kept, a shorter text encoder, decoding and rounding on the device: not a bit differs."""
    for prompt, seed in (("a red fox", 7), ("an owl at night", 8), ("", 9)):
        (wanted,) = of_stock(stock, [prompt], [seed])
        assert image(alone(klein, prompt, seed)).tobytes() == wanted.tobytes()


def test_and_in_a_batch_within_a_level(klein: Any, stock: Any) -> None:
    """The library decodes a batch at once and the engine one by one; sums of another order are rounded in another way."""
    prompts, seeds = ["a red fox", "an owl at night", ""], [7, 8, 9]
    made = pictures(klein.make(batch(*zip(prompts, seeds, strict=True)), unheard))
    for pixels, wanted in zip(made, of_stock(stock, prompts, seeds), strict=True):
        assert levels_apart(pixels.data, wanted.tobytes()) <= 1


def test_and_with_references(klein: Any, stock: Any) -> None:
    references = (gradient(70, 90), gradient(300, 64))
    (wanted,) = of_stock(stock, ["a red fox"], [7], image=list(references))
    (made,) = pictures(klein.make(batch(("a red fox", 7), references=references), unheard))
    assert image(made).tobytes() == wanted.tobytes()


def test_the_shorter_text_encoder_changes_no_bit(tiny: Path, stock: Any) -> None:
    short = diffusers.Flux2KleinPipeline.from_pretrained(tiny, local_files_only=True)
    assert engines.truncate(short.text_encoder)
    assert (len(short.text_encoder.model.layers), len(stock.text_encoder.model.layers)) == (27, 28)
    with torch.no_grad():
        for prompt in ("", "a red fox", "word " * 3000):
            assert torch.equal(short.encode_prompt(prompt)[0], stock.encode_prompt(prompt)[0])
    assert not engines.truncate(short.text_encoder), "its deepest layer is read behind the norm"


def test_a_long_prompt_is_cut_without_a_word(stock: Any) -> None:
    with torch.no_grad():
        cut, same, shorter = (stock.encode_prompt("word " * count)[0] for count in (3000, 2000, 20))
    assert cut.shape == shorter.shape == (1, 512, 48), "and a short one is padded"
    assert torch.equal(cut, same)
    assert not torch.equal(cut, shorter)


def test_a_folder_is_read_without_a_hub_and_named_as_orders_name_it(tiny: Path, tmp_path: Path) -> None:
    able = engines.open_engine(SystemClock(), str(tiny), "7", model="flux-2-klein-4b", device="cpu").abilities
    assert (able.model, able.revision, able.engine, able.device) == ("flux-2-klein-4b", "7", "diffusers", "cpu")
    with pytest.raises(OSError, match="model_index"):
        engines.open_engine(SystemClock(), str(tmp_path))


def test_the_first_argument_is_no_prompt(stock: Any) -> None:
    with pytest.raises(ValueError, match="prompt"):
        stock("a red fox")


def test_sizes_are_floored_without_a_word(stock: Any) -> None:
    assert of_stock(stock, ["a red fox"], [7], width=70, height=65)[0].size == (64, 64)


def test_guidance_is_ignored_and_steps_are_fifty_unless_told(stock: Any) -> None:
    made = [of_stock(stock, ["a red fox"], [7], guidance_scale=guidance)[0].tobytes() for guidance in (0.0, 1.0, 8.0)]
    assert len(set(made)) == 1
    steps: list[int] = []

    def count(_pipe: Any, index: int, _time: object, values: dict[str, Any]) -> dict[str, Any]:
        steps.append(index)
        return values

    stock(prompt="a red fox", width=16, height=16, callback_on_step_end=count)
    assert len(steps) == 50


def test_one_generator_is_another_noise_than_one_each(stock: Any) -> None:
    shared = stock(
        prompt=["a", "a"], generator=torch.Generator("cpu").manual_seed(7), width=64, height=96, num_inference_steps=4
    ).images
    assert shared[1].tobytes() != of_stock(stock, ["a", "a"], [7, 7])[1].tobytes()


def test_not_a_number_is_a_black_picture_and_no_error(stock: Any) -> None:
    hook = stock.transformer.register_forward_hook(lambda _module, _args, output: (output[0] * float("nan"),))
    with pytest.warns(RuntimeWarning, match="invalid value"):
        (picture,) = of_stock(stock, ["a red fox"], [7])
    hook.remove()
    assert picture.getextrema() == ((0, 0),) * 3


def test_latents_before_the_last_step_show_little(klein: Any) -> None:
    """Why previews are estimates: after three of four steps the picture's own latents are still mostly noise."""
    klein.make(batch(("a red fox", 7), of=shape(1024, 1024)), unheard)
    sigmas = klein._pipe.scheduler.sigmas.tolist()
    assert sigmas[0] == 1.0
    assert sigmas[3] > 0.7
    assert sigmas[4] == 0.0


def test_both_pipelines_share_their_weights_in_the_precision_they_have(tiny: Path) -> None:
    """Left to itself, the second would turn 16 GB of weights into 32."""
    pipe = diffusers.Flux2KleinPipeline.from_pretrained(tiny, local_files_only=True, dtype=torch.bfloat16)
    engine = engines.DiffusersEngine(None, pipe, None)
    assert engine._inpaint.transformer is engine._pipe.transformer
    assert {pipe.transformer.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.bfloat16}
    assert engine._inpaint.config.is_distilled
    assert not pipe.vae.use_tiling, "which changes pictures"


def test_bfloat16_makes_pictures_of_every_kind(tiny: Path, klein: Any) -> None:
    pipe = diffusers.Flux2KleinPipeline.from_pretrained(tiny, local_files_only=True, dtype=torch.bfloat16)
    engine = engines.DiffusersEngine(klein._clock, pipe, klein.abilities)
    reference = gradient(64, 96)
    made = alone(engine, "a red fox", 7)
    edit = batch(("a red fox", 7), references=(reference,))
    (edited,) = pictures(engine.make(edit, unheard))
    (painted,) = pictures(engine.make(Batch(edit.shape, edit.pieces, (reference,), reference.convert("L")), unheard))
    assert len({made, edited, painted}) == 3
    assert levels_apart(made.data, alone(klein, "a red fox", 7).data) < 64, "the same noise in another precision"
