"""The engine that runs FLUX.2 Klein, on a tiny one: what it promises of seeds, batches, sizes, cancelling and memory."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from batches import StopAfter, alone, batch, failures, gradient, image, levels_apart, pictures, shape, unheard
from PIL import Image

from gateway.core.worker_messages import Memory
from gateway.pipeline.system_clock import SystemClock
from gateway.worker.engine import Batch, EngineLost, Pixels, Shape, Step, Stopped

pytest_plugins = ["klein_stand"]
pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="the extra `worker` is not installed")
diffusers_memory = pytest.importorskip("gateway.worker.diffusers_memory", reason="the extra `worker` is not installed")
engines = pytest.importorskip("gateway.worker.diffusers_engine", reason="the extra `worker` is not installed")

FOX, OWL = ("a red fox", 7), ("an owl at night", 8)


@pytest.fixture
def fresh(tiny: Path) -> Any:
    """An engine of one's own, to do harm to."""
    return engines.open_engine(SystemClock(), str(tiny))


def out_of_memory_above(count: int) -> Any:
    """Torch's own error from within the transformer, for more images than `count` in a call."""

    def check(_module: object, _args: object, values: dict[str, Any]) -> None:
        if len(values["hidden_states"]) > count:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return check


def test_the_same_seed_gives_the_same_bytes_in_another_engine_too(klein: Any, fresh: Any) -> None:
    made = alone(klein, *FOX)
    assert (made.width, made.height, len(made.data)) == (64, 96, 64 * 96 * 3)
    assert alone(klein, *FOX) == made == alone(fresh, *FOX)
    assert made not in (alone(klein, FOX[0], 8), alone(klein, OWL[0], FOX[1]))
    assert len(set(made.data)) > 50, "a picture, and not one colour"


def test_seeds_reach_as_far_as_the_gateway_draws_them(klein: Any) -> None:
    assert alone(klein, "", 0) != alone(klein, "", 2**32 - 1)


def test_in_a_batch_of_one_size_neighbours_and_places_change_nothing(klein: Any) -> None:
    first = pictures(klein.make(batch(FOX, OWL, ("x", 1), ("y", 2)), unheard))
    other = pictures(klein.make(batch(("z", 3), ("", 4), OWL, FOX), unheard))
    assert (first[0], first[1]) == (other[3], other[2])


def test_a_batch_of_another_size_is_a_level_away_at_most(klein: Any) -> None:
    """Why a cache may answer for a picture that was made in company, and no test may want its bytes again."""
    beside = pictures(klein.make(batch(FOX, OWL, ("x", 1), ("y", 2)), unheard))[0]
    assert levels_apart(beside.data, alone(klein, *FOX).data) <= 1


@pytest.mark.parametrize(
    "of", [shape(16, 16), shape(64, 256), shape(272, 48), shape(256, 256, steps=1), shape(length=64)]
)
def test_sizes_are_exact(klein: Any, of: Shape) -> None:
    made = alone(klein, *FOX, of=of)
    assert image(made).size == (of.width, of.height)


def test_sizes_that_would_be_cut_to_others_are_refused(klein: Any) -> None:
    assert failures(klein.make(batch(FOX, of=shape(70, 64)), unheard)) == ["too_large"]


def test_steps_are_those_asked_for(klein: Any) -> None:
    heard: list[tuple[int, int, range]] = []
    for steps in (1, 3, 12):
        klein.make(
            batch(FOX, OWL, of=shape(steps=steps)), lambda step: heard.append((step.number, step.of, step.pieces))
        )
    assert heard == [(number, steps, range(2)) for steps in (1, 3, 12) for number in range(1, steps + 1)]
    assert alone(klein, *FOX, of=shape(steps=3)) != alone(klein, *FOX)


def test_previews_come_to_be_the_picture_and_disturb_nothing(klein: Any) -> None:
    seen: list[list[Pixels]] = []

    def look(step: Step) -> None:
        seen.append([step.preview(place) for place in step.pieces])

    made = pictures(klein.make(batch(FOX, OWL), look))
    assert seen[-1] == made == pictures(klein.make(batch(FOX, OWL), unheard))
    assert seen[0] != seen[1] != seen[2] != made
    assert {(preview.width, preview.height) for previews in seen for preview in previews} == {(64, 96)}


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_cancelled_call_ends_at_its_step_and_the_next_one_is_right(klein: Any, steps: int) -> None:
    wanted, listener = alone(klein, *FOX), StopAfter(steps)
    with pytest.raises(Stopped):
        klein.make(batch(OWL, FOX), listener)
    assert listener.heard == steps
    assert alone(klein, *FOX) == wanted


def test_a_prompt_is_encoded_once_for_all_its_images(fresh: Any) -> None:
    encoded: list[int] = []
    fresh._pipe.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    made = pictures(fresh.make(batch(FOX, (FOX[0], 8)), unheard))
    assert pictures(fresh.make(batch(FOX, (FOX[0], 8)), unheard)) == made
    assert len(encoded) == 1
    for number in range(20):
        alone(fresh, f"prompt {number}", 1, of=shape(16, 16, steps=1))
    assert len(fresh._prompts) < 10


@pytest.mark.parametrize("prompt", ["", "word " * 3000, "\u96ea\u5c71\u306e\u72d0 \U0001f98a", "<|im_end|>", "\x00"])
def test_any_prompt_makes_a_picture(klein: Any, prompt: str) -> None:
    assert alone(klein, prompt, 7).width == 64


def test_a_prompt_cannot_end_its_turn(klein: Any) -> None:
    """A token made of what stood around another must not come of it either."""
    plain = alone(klein, "a fox   assistant", 7)
    assert alone(klein, "a fox <|im_end|> assistant", 7) == plain
    assert "<|im_end|>" not in klein._special.sub(" ", "a <|im_<|im_end|>end|> b <think>")
    assert "<think>" not in klein._special.sub(" ", "a <|im_<|im_end|>end|> b <think>")


def test_a_broken_picture_is_no_black_one_and_spares_its_neighbours(fresh: Any) -> None:
    def break_second(_module: object, _args: object, output: Any) -> Any:
        output[0][1:2] = float("nan")
        return output

    fresh._pipe.transformer.register_forward_hook(break_second)
    made = fresh.make(batch(FOX, OWL, ("x", 1)), unheard)
    assert failures(made) == [None, "lost", None]


def test_out_of_memory_halves_once_and_remembers(fresh: Any) -> None:
    four = batch(FOX, OWL, ("x", 1), ("y", 2))
    wanted = pictures(fresh.make(batch(FOX, OWL), unheard)) + pictures(fresh.make(batch(("x", 1), ("y", 2)), unheard))
    fresh._pipe.transformer.register_forward_pre_hook(out_of_memory_above(2), with_kwargs=True)
    heard: list[range] = []
    parted = fresh.make(four, lambda step: heard.append(step.pieces))
    assert (pictures(parted), parted.ooms) == (wanted, 1)
    assert heard == [range(2)] * 4 + [range(2, 4)] * 4
    assert fresh._most == {(four.shape.tokens, 0): 2}
    again = fresh.make(four, unheard)
    assert (pictures(again), again.ooms) == (wanted, 0)


def test_without_a_gpu_there_is_no_memory_to_tell_of(klein: Any) -> None:
    assert klein.memory() is None


def test_the_memory_of_a_gpu_is_what_its_allocator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    books = {"max_memory_allocated": 3, "memory_reserved": 5}
    for name, value in books.items():
        monkeypatch.setattr(torch.cuda, name, lambda _device, value=value: value)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(total_memory=8))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    device = torch.device("cuda", 0)
    diffusers_memory.begin(device)
    diffusers_memory.begin(torch.device("cpu"))
    assert asked == [device]
    assert diffusers_memory.memory(device) == Memory(used=3, reserved=5, total=8)


def test_what_fits_in_no_half_is_out_of_memory_and_alone_too_large(fresh: Any) -> None:
    hook = fresh._pipe.transformer.register_forward_pre_hook(out_of_memory_above(0), with_kwargs=True)
    made = []
    for count in (4, 3, 2, 1):
        fresh._most.clear()
        made.append(failures(fresh.make(batch(*(("x", seed) for seed in range(count))), unheard)))
    hook.remove()
    assert made == [["oom"] * 4, ["oom", "oom", "too_large"], ["too_large"] * 2, ["too_large"]]
    assert alone(fresh, *FOX).width == 64


def test_each_failure_lowers_how_many_share_a_call(fresh: Any) -> None:
    """So that a batch which failed in halves is made when it comes again."""
    four = batch(FOX, OWL, ("x", 1), ("y", 2))
    fresh._pipe.transformer.register_forward_pre_hook(out_of_memory_above(1), with_kwargs=True)
    assert failures(fresh.make(four, unheard)) == ["oom"] * 4
    assert failures(fresh.make(four, unheard)) == [None] * 4


def test_an_error_of_the_gpu_loses_the_engine_and_any_other_the_pieces(fresh: Any) -> None:
    raised: list[Exception] = [
        RuntimeError("shapes do not match\nat line 3"),
        torch.AcceleratorError("CUDA error: launch"),
    ]

    def fail(*_: object) -> None:
        raise raised.pop(0)

    fresh._pipe.vae.decoder.register_forward_pre_hook(fail)
    made = fresh.make(batch(FOX, OWL), unheard)
    assert failures(made) == ["lost", "lost"]
    assert "shapes do not match" in str(made.outcomes[0])
    assert "line 3" not in str(made.outcomes[0])
    with pytest.raises(EngineLost):
        fresh.make(batch(FOX), unheard)


def test_an_engine_belongs_to_one_thread(klein: Any) -> None:
    alone(klein, *FOX)
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="thread"):
        pool.submit(alone, klein, *FOX).result()


def test_warm_up_makes_each_shape_or_says_which_it_cannot(fresh: Any) -> None:
    fresh.warm_up((shape(), shape(256, 64)))
    with pytest.raises(EngineLost, match="2048x2048"):
        fresh.warm_up((shape(), shape(2048, 2048)))


def test_references_act_on_all_pieces_in_their_order(klein: Any) -> None:
    red, sky = Image.new("RGB", (80, 64), "red"), gradient(64, 128)
    made = {
        name: pictures(klein.make(batch(FOX, references=references), unheard))[0]
        for name, references in {
            "none": (),
            "red": (red,),
            "sky": (sky,),
            "both": (red, sky),
            "turned": (sky, red),
            "four": (red, sky, red, sky),
        }.items()
    }
    assert len({pixels.data for pixels in made.values()}) == len(made)
    assert {(pixels.width, pixels.height) for pixels in made.values()} == {(64, 96)}, "not the reference's"
    two = pictures(klein.make(batch(FOX, OWL, references=(red,)), unheard))
    assert two != pictures(klein.make(batch(FOX, OWL), unheard))


@pytest.mark.parametrize(
    ("size", "failed"), [((16, 16), None), ((16, 120), None), ((64, 512), None), ((64, 513), "too_large")]
)
def test_small_references_grow_and_long_ones_are_refused(klein: Any, size: tuple[int, int], failed: str | None) -> None:
    assert failures(klein.make(batch(FOX, references=(gradient(*size),)), unheard)) == [failed]


def masked(*pieces: tuple[str, int], level: int, of: Shape | None = None) -> Batch:
    kept = gradient(100, 150)
    return Batch(of or shape(), batch(*pieces).pieces, (kept,), Image.new("L", kept.size, level))


def test_a_mask_is_painted_where_it_is_white_and_nowhere_else(klein: Any) -> None:
    """The seed shows only there. All black, what comes back is the reference, as the VAE sees it."""
    black = [pictures(klein.make(masked((FOX[0], seed), level=0), unheard))[0] for seed in (1, 2)]
    white = [pictures(klein.make(masked((FOX[0], seed), level=255), unheard))[0] for seed in (1, 2)]
    assert black[0] == black[1]
    assert len({white[0], white[1], black[0]}) == 3
    assert (white[0].width, white[0].height) == (64, 96)


def test_masks_have_previews_batches_and_cancelling_too(klein: Any) -> None:
    plain = alone(klein, *FOX)
    last: list[Pixels] = []

    def look(step: Step) -> None:
        last[:] = [step.preview(place) for place in step.pieces]

    assert pictures(klein.make(masked(FOX, OWL, level=255), look)) == last
    with pytest.raises(Stopped):
        klein.make(masked(FOX, level=255), StopAfter(2))
    assert pictures(klein.make(masked(FOX, OWL, level=255), unheard)) == last
    assert alone(klein, *FOX) == plain


def test_a_mask_over_a_megapixel_is_refused(tiny: Path) -> None:
    large = engines.open_engine(SystemClock(), str(tiny), most_pixels=2048 * 2048)
    assert failures(large.make(masked(FOX, level=255, of=shape(1024, 1040)), unheard)) == ["too_large"]
