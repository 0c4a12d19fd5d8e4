"""The engine without a model: real pictures by seed, steps that take their time, and every way to go wrong."""

import threading
from dataclasses import replace
from itertools import pairwise

import pytest
from batches import StopAfter, alone, batch, failures, gradient, image, pictures, shape, unheard
from fakes import FastClock, StoppedClock
from PIL import Image, ImageChops, ImageStat

from gateway.core.sample_edit import draw_edit
from gateway.core.sample_picture import draw
from gateway.worker.engine import Abilities, Batch, EngineLost, Pixels, Shape, Step, Stopped
from gateway.worker.simulated_engine import Fault, SimulatedEngine

ABILITIES = Abilities("flux-2-klein-4b", "1", "simulated", "no GPU", 1024 * 1024, most_references=4, masks=True)


def engine(*faults: Fault | None, abilities: Abilities = ABILITIES) -> SimulatedEngine:
    return SimulatedEngine(StoppedClock(), abilities, faults=faults)


def difference(first: Image.Image, second: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


def test_pictures_are_those_of_prompt_and_seed_whatever_stands_beside_them() -> None:
    fox, owl = pictures(engine().make(batch(("a fox", 7), ("an owl", 8)), unheard))
    assert image(fox).tobytes() == draw("a fox", 7, 64, 96).tobytes()
    assert (owl.width, owl.height) == (64, 96)
    assert alone(engine(), "an owl", 8) == owl != fox


def test_references_are_seen_in_the_picture() -> None:
    red, green = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "green")
    (made,) = pictures(engine().make(batch(("a fox", 7), of=shape(256, 256), references=(red, green)), unheard))
    assert image(made).tobytes() == draw_edit("a fox", 7, 256, 256, (red, green)).tobytes()
    assert image(made).getpixel((128, 128)) == (255, 0, 0)


def test_a_mask_keeps_what_is_black_in_it() -> None:
    mask = Image.new("L", (256, 256))
    mask.paste(255, (0, 0, 128, 256))
    kept = Image.new("RGB", (256, 256), "red")
    masked = Batch(shape(256, 256), batch(("a fox", 7)).pieces, (kept,), mask)
    picture = image(pictures(engine().make(masked, unheard))[0])
    assert picture.crop((128, 0, 256, 256)).getcolors() == [(128 * 256, (255, 0, 0))]
    left = (0, 0, 128, 256)
    assert picture.crop(left).tobytes() == draw("a fox", 7, 256, 256).crop(left).tobytes()


def test_each_step_comes_nearer_to_the_picture() -> None:
    seen: list[tuple[int, int, Pixels]] = []

    def look(step: Step) -> None:
        assert step.pieces == range(2)
        seen.append((step.number, step.of, step.preview(1)))

    made = pictures(engine().make(batch(("a fox", 7), ("an owl", 8), of=shape(256, 256, steps=5)), look))
    assert [(number, of) for number, of, _ in seen] == [(number, 5) for number in range(1, 6)]
    away = [difference(image(preview), image(made[1])) for _, _, preview in seen]
    assert all(one > other for one, other in pairwise(away))
    assert away[-1] == 0


def test_a_step_takes_its_time_for_each_piece() -> None:
    clock = FastClock()
    made = SimulatedEngine(clock, ABILITIES, seconds=3).make(batch(("a", 1), ("b", 2), of=shape(steps=3)), unheard)
    assert made.seconds >= 18


def test_a_cancelled_call_ends_at_its_step_and_the_next_one_is_right() -> None:
    one, listener = engine(), StopAfter(2)
    with pytest.raises(Stopped):
        one.make(batch(("a fox", 7)), listener)
    assert listener.heard == 2
    assert alone(one, "a fox", 7) == alone(engine(), "a fox", 7)


@pytest.mark.parametrize("kind", ["too_large", "oom", "moderated", "lost"])
def test_a_fault_fails_one_call(kind: Fault) -> None:
    one = engine(None, kind)
    two = batch(("a fox", 7), ("an owl", 8))
    assert [failures(one.make(two, unheard)) for _ in range(3)] == [[None, None], [kind, kind], [None, None]]


def test_a_broken_picture_spares_its_neighbours() -> None:
    assert failures(engine("nan").make(batch(("a", 1), ("b", 2), ("c", 3)), unheard)) == [None, None, "lost"]


def test_a_dead_engine_is_no_failure_of_a_piece() -> None:
    with pytest.raises(EngineLost):
        engine("dead").make(batch(("a fox", 7)), unheard)


@pytest.mark.parametrize(
    ("of", "references", "said"),
    [
        (shape(70, 64), 0, "multiples of 16"),
        (shape(64, 0), 0, "multiples of 16"),
        (shape(1024, 1040), 0, "over 1048576 pixels"),
        (shape(), 5, "5 references"),
    ],
)
def test_what_is_beyond_an_engine_is_refused_before_any_step(of: Shape, references: int, said: str) -> None:
    listener = StopAfter(1)
    made = engine().make(batch(("a", 1), ("b", 2), of=of, references=(gradient(64, 64),) * references), listener)
    assert failures(made) == ["too_large"] * 2
    assert said in str(made.outcomes[0])
    assert listener.heard == 0


@pytest.mark.parametrize(
    ("references", "masks"),
    [((), True), ((gradient(64, 64),) * 2, True), ((gradient(64, 80),), True), ((gradient(64, 64),), False)],
)
def test_a_mask_goes_with_one_reference_of_its_size_where_masks_are_served(
    references: tuple[Image.Image, ...], *, masks: bool
) -> None:
    masked = Batch(shape(), batch(("a", 1)).pieces, references, Image.new("L", (64, 64)))
    assert failures(engine(abilities=replace(ABILITIES, masks=masks)).make(masked, unheard)) == ["too_large"]


def test_it_works_in_a_thread_without_a_loop() -> None:
    """As the agent uses it, and where a step that sleeps must find its own loop."""
    made: list[Pixels] = []
    one = SimulatedEngine(FastClock(), ABILITIES, seconds=0.1)
    thread = threading.Thread(target=lambda: made.append(alone(one, "a fox", 7)))
    thread.start()
    thread.join()
    assert made == [alone(engine(), "a fox", 7)]


def test_warm_up_refuses_what_could_never_be_made() -> None:
    engine().warm_up((shape(), shape(1024, 1024)))
    with pytest.raises(EngineLost, match="2048x2048"):
        engine().warm_up((shape(), shape(2048, 2048)))


def test_the_weight_of_a_shape_is_its_patches_and_its_text() -> None:
    assert [shape(side, side).tokens for side in (256, 512, 1024)] == [768, 1536, 4608]
