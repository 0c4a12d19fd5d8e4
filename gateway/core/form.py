"""A form's text fields into the types that an ask's fields have."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from gateway.core.ask import Ask

_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")
#: Node's FormData refuses null and tells its user to send this text.
_ABSENT = frozenset({"", "null"})


def typed(fields: Mapping[str, object], kind: type[Ask]) -> dict[str, object]:
    """Text that is not of its field's type stays text, which the ask then refuses by name."""
    readers, required = _readers(kind), _required(kind)
    return {
        name: readers[name](value) if isinstance(value, str) and name in readers else value
        for name, value in fields.items()
        if name in required or not (isinstance(value, str) and value in _ABSENT)
    }


def _bool(text: str) -> object:
    return {"true": True, "false": False}.get(text.lower(), text)


def _int(text: str) -> object:
    return int(text) if _WHOLE.fullmatch(text) else text


def _float(text: str) -> object:
    return float(text) if _NUMBER.fullmatch(text) else text


_READERS: tuple[tuple[type, Callable[[str], object]], ...] = ((bool, _bool), (int, _int), (float, _float))


@cache
def _readers(kind: type[Ask]) -> dict[str, Callable[[str], object]]:
    return {
        name: reader
        for name, field in kind.model_fields.items()
        for type_, reader in _READERS
        if type_ in _types(field.annotation)
    }


@cache
def _required(kind: type[Ask]) -> frozenset[str]:
    """Fields that have no null: there the text is meant as such."""
    return frozenset(name for name, field in kind.model_fields.items() if NoneType not in _types(field.annotation))


def _types(annotation: Any) -> Iterator[object]:  # noqa: ANN401 - a type, in any of the forms that typing has
    """What an annotation is made of: int and NoneType for `Annotated[int, …] | None`."""
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments[:1] if get_origin(annotation) is Annotated else arguments:
        yield from _types(argument)
