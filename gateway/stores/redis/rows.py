"""Rows as Redis keeps them: a hash of JSON values, one a field, so that a script can change one and nothing need be parsed.

Fields that begin with a dot are the store's own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any, TypeVar

import msgspec

from gateway.core.job import Job, Picture
from gateway.ports import LedgerRow

Row = TypeVar("Row")
#: Of a ledger row: its entry's id has the number, and only adjust rows have a reason.
NOT_KEPT = frozenset({"seq", "reason"})

_JOB = msgspec.json.Decoder(Job)

#: name, value, name, value …
Flat = Sequence[bytes]


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def to_flat(row: Any, leave_out: frozenset[str] = frozenset()) -> list[str]:  # noqa: ANN401 - any dataclass
    """A dataclass's fields, but for those left out."""
    names = [field.name for field in fields(row) if field.name not in leave_out]
    return list(chain.from_iterable((name, to_json(getattr(row, name))) for name in names))


def to_row(flat: Flat, kind: type[Row]) -> Row:
    return msgspec.json.decode(_object(_members(flat)), type=kind)


def to_job(found: bytes) -> Job:
    """As a script tells it whole."""
    return _JOB.decode(found)


def to_ledger_row(entry: tuple[bytes, Flat]) -> LedgerRow:
    """An entry of the stream, whose id is `seq-0`."""
    entry_id, flat = entry
    return msgspec.json.decode(_object([b'"seq":' + entry_id.partition(b"-")[0], *_members(flat)]), type=LedgerRow)


def to_partials(kept: bytes) -> tuple[Picture, ...]:
    """Those of a piece, by their indexes."""
    by_index = msgspec.json.decode(kept, type=dict[int, str])
    return tuple(msgspec.json.decode(by_index[index], type=Picture) for index in sorted(by_index))


def _members(flat: Flat) -> list[bytes]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [b'"' + name + b'":' + value for name, value in pairs if not name.startswith(b".")]


def _object(members: Iterable[bytes]) -> bytes:
    return b"{" + b",".join(members) + b"}"
