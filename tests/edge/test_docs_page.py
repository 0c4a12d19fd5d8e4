"""/docs: everything that the description has, nothing fetched, nothing run, and no text that becomes markup."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from gateway.edge import docs_page
from gateway.edge.openapi import document

ADDRESS = "http://pictures.example:8443"
#: Elements that HTML does not close.
VOID = {"meta"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document("1.2.3", 3)


@pytest.fixture(scope="module")
def page(described: dict[str, Any]) -> str:
    return docs_page.at(docs_page.render(described), ADDRESS).decode()


class Reader(HTMLParser):
    """Every element with its attributes, the text, and whether each was closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def texts(value: Any) -> Iterator[str]:
    """The descriptions at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("description", "summary") and isinstance(inner, str):
                yield inner
            else:
                yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def test_everything_described_is_on_it(described: dict[str, Any], page: str) -> None:
    shown = " ".join("".join(Reader(page).text).split())
    for path, methods in described["paths"].items():
        assert path in shown
        for text in texts(methods):
            for line in text.splitlines():
                assert " ".join(line.replace("`", "").split()) in shown
    for schema in described["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            assert name in shown
            assert field.get("description", "").replace("`", "") in shown
    for name in described["components"]["headers"]:
        assert name in shown


def test_every_error_has_its_row(described: dict[str, Any], page: str) -> None:
    for each in described["x-imagegate-errors"]:
        retry = "yes" if each["retry"] else "no"
        row = f"<td><code>{each['code']}</code></td><td>{each['status']}</td><td>{each['type']}</td><td>{retry}</td>"
        assert row in page


def test_it_fetches_and_runs_nothing(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    assert not {tag for tag, _ in reader.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "form",
        "base",
        "object",
        "svg",
    }
    for _, attributes in reader.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "style")}
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in page
    assert "@import" not in page


def test_links_have_a_target_and_targets_are_unique(page: str) -> None:
    elements = Reader(page).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"] for _, attributes in elements if "href" in attributes} <= {f"#{name}" for name in ids}


def test_the_policy_allows_its_style_and_nothing_else(page: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in docs_page.POLICY.split("; "))
    assert rules.pop("style-src") == f"'sha256-{digest}'"
    assert set(rules) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert set(rules.values()) == {"'none'"}


def test_examples_are_commands_for_this_address(described: dict[str, Any], page: str) -> None:
    commands = [
        unescape(command) for command in re.findall(r"<pre><code>(curl .*?)</code></pre>", page, flags=re.DOTALL)
    ]
    assert len(commands) > len(described["paths"])
    assert all(f" {ADDRESS}/" in command for command in commands)
    (deletion,) = (command for command in commands if "DELETE" in command)
    assert deletion.startswith(f"curl -X DELETE {ADDRESS}/v1/jobs/job_")
    assert f"curl -N {ADDRESS}/v1/images/generations \\\n" in "".join(commands)
    assert any("-F image=@photo.png" in command for command in commands)
    assert "Authorization" not in next(command for command in commands if "/healthz" in command)


HOSTILE = "\"'><script>alert(1)</script><!--"


def spoilt(value: Any) -> Any:
    """Hostile text at the end of every text of the document, but for the words that are its grammar."""
    if isinstance(value, dict):
        return {name: inner if name in ("$ref", "in", "tags") else spoilt(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [spoilt(inner) for inner in value]
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_text_stays_text(described: dict[str, Any], page: str) -> None:
    bad = spoilt(described)
    bad["tags"] = [{**tag, "description": HOSTILE} for tag in described["tags"]]
    reader = Reader(docs_page.at(docs_page.render(bad), HOSTILE).decode())
    assert reader.open == []
    assert {tag for tag, _ in reader.elements} == {tag for tag, _ in Reader(page).elements}
    assert len("".join(reader.text).split("<script>")) > 200
