"""How work is parted into calls, and when its pictures on the way are due."""

import pytest
from batches import gradient
from scripted_gateway import work

from gateway.core.worker_messages import Work
from gateway.worker.errands import Errand, calls, partial_steps


def errand(piece: Work, references: int = 0) -> Errand:
    made = Errand(piece, "claim", 20.0, 0.0, 60.0)
    made.references = tuple(gradient(1024, 1024) for _ in range(references))
    return made


def parted(*errands: Errand, budget: int = 9216, most: int = 16) -> list[list[tuple[str, int]]]:
    return [[(item.errand.work.attempt, item.place) for item in call.items] for call in calls(errands, budget, most)]


def test_images_of_all_pieces_fill_calls_in_their_order() -> None:
    pieces = [errand(work("a", 1, 2, 3)), errand(work("b", 4, 5))]
    assert parted(*pieces, most=2) == [[("a", 0), ("a", 1)], [("a", 2), ("b", 0)], [("b", 1)]]
    assert parted(*pieces) == [[("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]]


def test_tokens_bound_a_call_and_one_image_always_goes() -> None:
    large = errand(work("a", *range(5), width=1024, height=1024))
    assert [len(call) for call in parted(large)] == [2, 2, 1]
    assert [len(call) for call in parted(large, budget=1)] == [1] * 5


def test_what_a_call_has_but_once_is_never_mixed() -> None:
    differing = [
        work("a"),
        work("b", steps=3),
        work("c", width=80),
        work("d", guidance=2.0),
        work("e", negative_prompt="x"),
    ]
    assert len(parted(*map(errand, differing))) == len(differing)
    assert parted(errand(work("a"), 1), errand(work("b"), 1), errand(work("c"))) == [[("a", 0)], [("b", 0)], [("c", 0)]]


def test_references_weigh_beside_every_image() -> None:
    edit = work("a", *range(4), width=512, height=512)
    assert [[len(call) for call in parted(errand(edit, count))] for count in (0, 1, 2)] == [[4], [1] * 4, [1] * 4]
    assert [len(call) for call in parted(errand(edit, 1), budget=13_000)] == [2, 2]


@pytest.mark.parametrize(
    ("of", "partials", "due"),
    [
        (4, 0, {}),
        (4, 1, {2: 0}),
        (4, 2, {1: 0, 3: 1}),
        (4, 3, {1: 0, 2: 1, 3: 2}),
        (2, 3, {1: 0}),
        (1, 3, {}),
        (28, 3, {7: 0, 14: 1, 21: 2}),
    ],
)
def test_pictures_on_the_way_are_spread_and_the_last_step_is_none(of: int, partials: int, due: dict[int, int]) -> None:
    assert partial_steps(of, partials) == due
