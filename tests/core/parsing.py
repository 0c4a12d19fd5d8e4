"""Bodies parsed, and how a test sees that one is refused."""

import json
from collections.abc import Callable

import pytest
from forms import FORM, Part, form

from gateway.core.errors import InvalidRequest
from gateway.core.order import Operation
from gateway.core.request_body import Parsed, parse

JSON = "application/json"
URL = "https://pictures.example/a.png"
#: More than any model takes.
MOST = 16


def parse_form(*parts: Part, operation: Operation = "edit", most: int = MOST) -> Parsed:
    return parse(form(*parts), FORM, operation, most)


def parse_json(fields: object, operation: Operation = "edit", most: int = MOST) -> Parsed:
    return parse(json.dumps(fields).encode(), JSON, operation, most)


def check_refused(code: str, param: str | None, *sends: Callable[[], Parsed]) -> None:
    for send in sends:
        with pytest.raises(InvalidRequest) as error:
            send()
        assert refused(error) == (code, param)


def refused(error: pytest.ExceptionInfo[InvalidRequest]) -> tuple[str, str | None]:
    return error.value.code, error.value.param
