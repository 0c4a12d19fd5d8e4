"""The README names every address and every header of the gateway's, and none that there is not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from gateway.edge import app, worker_api

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().partition("\n## Addresses and headers\n")[2].partition("\n## ")[0]
#: What a header of ours or of OpenAI's begins with; and the standard ones that are read or answered on purpose.
OURS = ("x-", "openai-", "retry-after")
STANDARD = {"authorization", "idempotency-key", "prefer", "if-none-match", "accept", "host", "forwarded", "location"}
STANDARD |= {"etag", "allow"}
#: Names that f-strings end with.
LIMITED = ("requests", "images")
#: An extension of OpenAPI's, and an f-string with more than one part to fill in.
NO_HEADERS = {"x-imagegate-errors", *(f"x-ratelimit-{word}" for word in LIMITED)}
#: Values that a header may have.
VALUES = {"bypass", "only", "respond-async"}


def described(pattern: str) -> set[str]:
    return set(re.findall(pattern, SECTION))


def texts(tree: ast.AST) -> Iterator[str]:
    """Every literal, bytes or not; of an f-string what it begins with, ended by each of `LIMITED`."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            yield from (str(node.values[0].value) + word for word in LIMITED)
        elif isinstance(node, ast.Constant) and id(node) not in inside:
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(value, str):
                yield value


def headers_in_source() -> set[str]:
    """Of what stands between clients and the pipeline."""
    found = set()
    for path in (ROOT / "gateway" / "edge").glob("*.py"):
        for text in texts(ast.parse(path.read_text())):
            if re.fullmatch(r"[a-z]+(-[a-z]+)*", text) and (text.startswith(OURS) or text in STANDARD):
                found.add(text)
    return found - NO_HEADERS


def test_every_header_is_described_and_no_other() -> None:
    assert described(r"`([a-z]+(?:-[a-z]+)*)`") - VALUES == headers_in_source()


def test_every_address_is_described_and_no_other() -> None:
    known = {path for handler in app.HANDLERS for path in handler.paths}
    known |= {f"/worker/v1{path}" for handler in worker_api.HANDLERS for path in handler.paths}
    plain = {re.sub(r"\{(\w+):\w+\}", r"{\1}", path) for path in known}
    assert described(r"`(/(?!admin/)[^`]+)`") == plain


def test_every_collection_of_the_administration_is_described_and_no_other() -> None:
    paths = set()
    for path in (ROOT / "gateway" / "edge").glob("admin*.py"):
        paths |= set(re.findall(r"^@(?:get|post|put|patch|delete)\(\"/([a-z-]+)", path.read_text(), re.MULTILINE))
    assert described(r"`/admin/v1/([a-z-]+)`") == paths
