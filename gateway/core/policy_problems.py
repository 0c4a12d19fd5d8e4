"""What is wrong with policy files, in words for whoever wrote them. Values are not repeated: one may be a secret, misplaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Problem:
    """`key` is written with dots, items of lists by their number from 0 on: `routes.0.legs.1.price`. None: the whole file."""

    file: str
    key: str | None
    problem: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.file, self.key, self.problem)))


class PolicyError(Exception):
    """Policy files are wrong. The text names file and key of all that is."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems: Sequence[Problem] = problems


def problems_of(file: str, error: ValidationError) -> list[Problem]:
    return [
        Problem(file, ".".join(map(str, each["loc"])) or None, _said(each["type"], each["msg"], each.get("ctx", {})))
        for each in error.errors(include_url=False, include_input=False)
    ]


#: By pydantic's name of the mistake; {} are of its context.
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no key of this table",
    "string_type": "must be a text in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "is_instance_of": "must be a number, such as 10 or 1.5",
    "decimal_type": "must be a number",
    "finite_number": "must be a finite number",
    "date_type": "must be a date, such as 2026-01-15, without quotes",
    "list_type": "must be a list in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "string_too_short": "must have at least {min_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}


def _said(kind: str, message: str, context: dict[str, Any]) -> str:
    words = _WORDS.get(kind)
    return message.removeprefix("Value error, ") if words is None else words.format(**context)
