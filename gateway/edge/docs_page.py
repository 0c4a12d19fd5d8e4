"""/docs: the API's description as one page of HTML, without script or anything to fetch, so it works offline and anywhere."""

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from typing import Any

from gateway.edge import docs_curl
from gateway.edge.docs_fields import Field, fields, kind
from gateway.edge.docs_style import STYLE

Schema = dict[str, Any]

#: Stands where the address goes that the page was asked at.
_ADDRESS = "\0"
_SNIPPET = f"""from openai import OpenAI

client = OpenAI(base_url="{_ADDRESS}/v1", api_key="sk-ig-…")
answer = client.images.generate(model="gpt-image-1", prompt="a harbour in the rain, ink and wash")"""
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def at(page: str, address: str) -> bytes:
    """The page as it is sent to who asked at `address` (`http://host:port`)."""
    return page.replace(_ADDRESS, escape(address)).encode()


def render(document: Schema) -> str:
    """The page of an OpenAPI document, for `at`. Whatever text the document holds is text on the page."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    body = "".join(
        (
            f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
            f"<p>{_prose(info['description'])} {_security(document)}</p>{_code(_SNIPPET)}</header>",
            f"{_contents(document)}<main>",
            *(_section(document, tag) for tag in document["tags"]),
            _errors(document),
            _headers(document),
            _objects(document),
            "</main>",
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )


def _contents(document: Schema) -> str:
    parts = []
    for tag in document["tags"]:
        items = [
            f'<a href="#{escape(operation["operationId"])}">{_badge(method)} {escape(path)}</a>'
            for path, method, operation in _operations(document, tag["name"])
        ]
        parts.append(_menu(tag["name"], items))
    objects = [f'<a href="#{escape(name)}">{escape(name)}</a>' for name in _answered(document)]
    return (
        f"<nav>{''.join(parts)}{_menu('Errors', [])}{_menu('Headers', [])}{_menu('Objects', objects, 'inline')}</nav>"
    )


def _menu(title: str, items: list[str], style: str = "") -> str:
    entries = "".join(f"<li>{item}</li>" for item in items)
    return f'<strong><a href="#-{escape(title)}">{escape(title)}</a></strong><ul class="{style}">{entries}</ul>'


def _heading(title: str) -> str:
    """Its anchor has a dash, which no component's name begins with."""
    return f'<h2 id="-{escape(title)}">{escape(title)}</h2>'


def _operations(document: Schema, tag: str) -> Iterator[tuple[str, str, Schema]]:
    """Path, method and operation, with its parameters in place."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                parameters = [_resolved(document, each) for each in operation.get("parameters", ())]
                yield path, method, {**operation, "parameters": parameters}


def _resolved(document: Schema, found: Schema) -> Schema:
    """What a `$ref` into the document means."""
    here = document
    for name in found.get("$ref", "").split("/")[1:]:
        here = here[name]
    return here if "$ref" in found else found


def _section(document: Schema, tag: Schema) -> str:
    operations = (_operation(document, *found) for found in _operations(document, tag["name"]))
    return f"<section>{_heading(tag['name'])}<p>{_prose(tag['description'])}</p>{''.join(operations)}</section>"


def _operation(document: Schema, path: str, method: str, operation: Schema) -> str:
    name = escape(operation["operationId"])
    commands = docs_curl.commands(_ADDRESS, path, method, operation)
    return "".join(
        (
            f'<article><h3 id="{name}">{_badge(method)} <a href="#{name}"><code>{escape(path)}</code></a></h3>',
            f"<p>{_prose(operation['summary'])}</p>",
            *(f"{_subtitle(title)}{_code(command)}" for title, command in commands),
            _parameters(operation["parameters"]),
            _bodies(document, operation),
            _answers(operation["responses"]),
            "</article>",
        )
    )


def _parameters(parameters: Iterable[Schema]) -> str:
    rows = [
        Field(
            name=each["name"],
            kind=f"{kind(each['schema'])}, in the {escape(each['in'])}",
            required=each.get("required", False),
            default=each["schema"].get("default"),
            description=each["description"],
        )
        for each in parameters
    ]
    return f"<h4>Parameters</h4>{_table(rows)}" if rows else ""


def _bodies(document: Schema, operation: Schema) -> str:
    """The fields of each kind of body; of the second kind only what the first has not."""
    shown: list[Field] = []
    parts = []
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        rows = [row for row in fields(_resolved(document, media["schema"]), nulls=False) if row not in shown]
        others = ", and the rest as above" if shown else ""
        parts.append(f"<h4>Fields of <code>{escape(media_type)}</code>{others}</h4>{_table(rows)}")
        shown += rows
    return "".join(parts)


def _answers(responses: Schema) -> str:
    good = [_answer(status, response) for status, response in responses.items() if status < "400"]
    bad = "".join(
        f"<tr><td>{escape(status)}</td><td>{_lines(response['description'])}</td></tr>"
        for status, response in responses.items()
        if status >= "400"
    )
    return f"{''.join(good)}<details><summary>Errors</summary><table><tbody>{bad}</tbody></table></details>"


def _answer(status: str, response: Schema) -> str:
    bodies = " or ".join(
        f"<code>{escape(media_type)}</code> {kind(media['schema']) if 'schema' in media else ''}"
        for media_type, media in response["content"].items()
    )
    headers = " ".join(f"<code>{escape(name)}</code>" for name in response["headers"])
    examples = "".join(
        f"<details><summary>{_prose(title or 'Example')}</summary>{_code(json.dumps(value, indent=2))}</details>"
        for media in response["content"].values()
        for title, value in docs_curl.examples(media)
    )
    return (
        f"<h4>{escape(status)}: {_prose(response['description'])}</h4>"
        f'<p>{bodies}</p><p><a href="#-Headers">Headers</a>: {headers}</p>{examples}'
    )


def _errors(document: Schema) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['code'])}</code></td><td>{each['status']:d}</td>"
        f"<td>{escape(each['type'])}</td><td>{'yes' if each['retry'] else 'no'}</td><td>{_prose(each['when'])}</td></tr>"
        for each in document["x-imagegate-errors"]
    )
    head = "".join(f"<th>{name}</th>" for name in ("Code", "Status", "Type", "Retry", "When"))
    return f"<section>{_heading('Errors')}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></section>"


def _headers(document: Schema) -> str:
    rows = [
        Field(name, kind(header["schema"]), required=False, default=None, description=header["description"])
        for name, header in document["components"]["headers"].items()
    ]
    return f"<section>{_heading('Headers')}{_table(rows)}</section>"


def _objects(document: Schema) -> str:
    objects = (_object(*each) for each in _answered(document).items())
    return f"<section>{_heading('Objects')}{''.join(objects)}</section>"


def _answered(document: Schema) -> Schema:
    """The components without the bodies of requests: those stand where they are sent."""
    operations = (operation for methods in document["paths"].values() for operation in methods.values())
    bodies = [
        media["schema"].get("$ref", "").rpartition("/")[2]
        for operation in operations
        for media in operation.get("requestBody", {}).get("content", {}).values()
    ]
    return {name: schema for name, schema in document["components"]["schemas"].items() if name not in bodies}


def _object(name: str, schema: Schema) -> str:
    rows = list(fields(schema))
    body = _table(rows, answer=True) if rows else f"<p>{kind(schema)}</p>"
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{_prose(schema.get("description", ""))}</p>{body}'


def _security(document: Schema) -> str:
    return " ".join(_prose(each["description"]) for each in document["components"]["securitySchemes"].values())


def _table(rows: list[Field], *, answer: bool = False) -> str:
    """Marked is the exception: what a request must have, what an answer may lack."""
    mark = "<em>optional</em>" if answer else "<em>required</em>"
    defaults = any(row.default is not None for row in rows)
    head = "".join(f"<th>{name}</th>" for name in ("Name", "Type", *(["Default"] if defaults else []), "Meaning"))
    body = "".join(
        f"<tr><td><code>{escape(row.name)}</code>{mark if row.required != answer else ''}</td><td>{row.kind}</td>"
        f"{_default(row.default) if defaults else ''}<td>{_prose(row.description)}</td></tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _default(value: object) -> str:
    if value is None:
        return "<td></td>"
    text = value if isinstance(value, str) else json.dumps(value)
    return f'<td data-name="default"><code>{escape(text)}</code></td>'


def _badge(method: str) -> str:
    return f'<b class="{escape(method)}">{escape(method.upper())}</b>'


def _subtitle(title: str) -> str:
    return f"<h4>{_prose(title)}</h4>" if title else ""


def _code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def _lines(text: str) -> str:
    return "<ul>" + "".join(f"<li>{_prose(line)}</li>" for line in text.splitlines()) + "</ul>"


def _prose(text: str) -> str:
    """Text in which backticks mark code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))
