"""The shapes in which a job tells its result. Upstream's own is not documented: these are all that a public client of it
reads, so a gateway has to read each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Item = Literal["asked", "url", "b64_json", "string", "revised_prompt"]

#: As `Options.shape`: job k takes the k-th shape, round and round.
ROTATE = "rotate"


@dataclass(frozen=True, slots=True)
class Shape:
    """`within`: the object that holds the list, None for the job itself. `under`: the list's own name.

    `item` "asked" follows the request's response_format; "string" is the bare URL.
    """

    within: str | None
    under: str
    item: Item = "asked"
    done: str = "completed"
    error: Literal["object", "string", "message"] = "object"
    documented: bool = True


_PLACES = {
    f"{within or 'top'}_{under}": Shape(within, under)
    for within in ("result", "output", "data", None)
    for under in ("data", "images", "output")
}

#: Every shape by name. Those not `documented` are beyond what any client is known to read, and left out by `rotate`.
SHAPES: dict[str, Shape] = {
    **_PLACES,
    **{f"{name}_strings": replace(shape, item="string") for name, shape in _PLACES.items()},
    "data_url": Shape("result", "data", item="url"),
    "data_b64": Shape("result", "data", item="b64_json"),
    "revised_prompt": Shape("result", "data", item="revised_prompt"),
    "succeeded": Shape("result", "data", done="succeeded"),
    "error_string": Shape("result", "data", error="string"),
    "error_message": Shape("result", "data", error="message"),
    "unknown": Shape("result", "files", documented=False),
}


def choose(name: str, number: int) -> Shape:
    """The shape of the account's job `number`, under the option `name`."""
    if name != ROTATE:
        return SHAPES[name]
    known = [shape for shape in SHAPES.values() if shape.documented]
    return known[number % len(known)]


def uploaded(name: str, number: int, address: str) -> object:
    """What the account's upload `number` answers: `path` in an object, and one of several places under `rotate`."""
    answers = ({"path": address}, {"data": {"url": address}}, {"files": [{"storage_path": address}]}, address)
    return answers[number % len(answers) if name == ROTATE else 0]


def finished(shape: Shape, items: Sequence[object]) -> dict[str, object]:
    """The fields that a job gains on completion."""
    listed: dict[str, object] = {shape.under: items}
    return listed if shape.within is None else {shape.within: listed}


def failed(shape: Shape, code: str, message: str) -> dict[str, object]:
    """The fields that a failed job gains, in one of the three places where clients look for the reason."""
    if shape.error == "object":
        return {"error": {"code": code, "message": message}}
    return {"error" if shape.error == "string" else "message": message}
