"""The description of the API against the code that it describes: nothing missing, nothing made up, every reference good."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from gateway.core import ask as asks
from gateway.core import errors
from gateway.core.ask import Ask, Edit, Generation, Variation
from gateway.core.errors import GatewayError
from gateway.edge.app import HANDLERS
from gateway.edge.openapi import document
from gateway.edge.openapi_answers import PROBLEMS

GATEWAY = Path(__file__).parents[2] / "gateway"
#: Codes that no path of a team answers with: an operator's, a worker's, and what nobody is there to read.
ELSEWHERE = {
    "key_not_found",
    "team_not_found",
    "worker_token_not_found",
    errors.NotYours.code,
    errors.ClientLeft.code,
}
BODIES = {
    "CreateImageRequest": Generation,
    "EditImageRequest": Edit,
    "EditImageJsonRequest": Edit,
    "CreateImageVariationRequest": Variation,
    "CreateImageVariationJsonRequest": Variation,
}
IMAGES = {"image", "images", "image[]", "mask", "markup"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document("1.2.3", 3)


def every(value: Any, name: str) -> Iterator[Any]:
    """The values of that name at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from every(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, name)


def kinds(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for child in kind.__subclasses__():
        yield child
        yield from kinds(child)


def test_every_reference_is_good_and_every_component_is_used(described: dict[str, Any]) -> None:
    references = set(every(described, "$ref"))
    components = {
        f"#/components/{group}/{name}"
        for group, found in described["components"].items()
        for name in found
        if group != "securitySchemes"
    }
    assert references == components


def test_every_route_of_teams_is_described_and_no_other(described: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"\{(\w+):\w+\}", r"{\1}", path), method.lower())
        for handler in HANDLERS
        for path in handler.paths
        for method in handler.http_methods
    }
    assert {(path, method) for path, methods in described["paths"].items() for method in methods} == routes


def test_the_path_s_parts_are_parameters(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for operation in methods.values():
            parameters = [resolved(described, each) for each in operation.get("parameters", ())]
            assert set(re.findall(r"\{(\w+)\}", path)) == {each["name"] for each in parameters if each["in"] == "path"}


def resolved(described: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    here = described
    for name in found.get("$ref", "").split("/")[1:]:
        here = here[name]
    return here if "$ref" in found else found


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    names = list(every(described["paths"], "operationId"))
    assert len(names) == len(set(names)) == sum(len(methods) for methods in described["paths"].values())


@pytest.mark.parametrize(("name", "kind"), BODIES.items())
def test_bodies_have_the_fields_that_are_read(described: dict[str, Any], name: str, kind: type[Ask]) -> None:
    body = described["components"]["schemas"][name]
    assert body["properties"].keys() - IMAGES == kind.model_fields.keys()
    assert body["additionalProperties"] is False
    without_effect = {
        field for field, schema in body["properties"].items() if "Without effect" in schema["description"]
    }
    assert without_effect == set(asks._WITHOUT_EFFECT)


def test_as_many_images_as_the_policies_say(described: dict[str, Any]) -> None:
    edit = described["paths"]["/v1/images/edits"]["post"]
    assert "up to 3 images" in edit["summary"]
    assert set(every(described["components"]["schemas"]["EditImageJsonRequest"], "maxItems")) == {3}
    image = described["components"]["schemas"]["EditImageRequest"]["properties"]["image"]["description"]
    for limit in ("16 to 16384 pixels", "25 MB", "16.8 megapixels", "64 MB a request"):
        assert limit in image


def test_every_error_code_is_described_and_no_other() -> None:
    source = "".join(path.read_text() for path in GATEWAY.rglob("*.py") if "simulator" not in path.parts)
    known = {kind.code for kind in kinds(GatewayError)} | set(re.findall(r'\bcode="(\w+)"', source))
    assert sorted({problem.code for problem in PROBLEMS}) == sorted(known - ELSEWHERE)


def test_codes_have_the_status_and_type_of_their_class(described: dict[str, Any]) -> None:
    table = {row["code"]: (row["status"], row["type"], row["retry"]) for row in described["x-imagegate-errors"]}
    assert len(table) == len(described["x-imagegate-errors"])
    for kind in kinds(GatewayError):
        if kind.code not in ELSEWHERE:
            assert table[kind.code] == (kind.status, kind.type, kind.retry)


def test_examples_of_bodies_are_of_their_schema(described: dict[str, Any]) -> None:
    contents = [
        media
        for methods in described["paths"].values()
        for operation in methods.values()
        for part in (operation.get("requestBody", {}), *operation["responses"].values())
        for media in part.get("content", {}).values()
    ]
    checked = 0
    for media in contents:
        examples = [each["value"] for each in media.get("examples", {}).values()]
        examples += [media["example"]] if "example" in media else []
        for example in examples:
            jsonschema_rs.validate({**media["schema"], "components": described["components"]}, example)
            checked += 1
    assert checked > 8
