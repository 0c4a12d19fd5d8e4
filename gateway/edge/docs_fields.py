"""JSON Schema as people read it: fields in a flat list, each with its type and range in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

Schema = dict[str, Any]
_NULL = {"type": "null"}
_WORDS = {
    ("contentMediaType", "application/octet-stream"): "file",
    ("contentMediaType", "application/json"): "JSON",
    ("contentEncoding", "base64"): "base64",
    ("format", "date-time"): "date and time",
}


@dataclass(frozen=True, slots=True)
class Field:
    """`name` is the path to it, `data[].url`; `kind` is HTML; a default of None is none."""

    name: str
    kind: str
    required: bool
    default: object
    description: str


def fields(schema: Schema, *, nulls: bool = True, prefix: str = "") -> Iterator[Field]:
    """Every field of an object, and of the objects in it. `nulls=False`: do not say where a null may stand."""
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        yield Field(
            name=prefix + name,
            kind=kind(inner, nulls=nulls),
            required=name in required,
            default=inner.get("default"),
            description=inner.get("description", ""),
        )
        path, nested = _nested(inner)
        yield from fields(nested, nulls=nulls, prefix=prefix + name + path)


def kind(schema: Schema, *, nulls: bool = True) -> str:
    """A schema's type and range as HTML, such as `integer, 1 to 10`; components are links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for choice in ("anyOf", "oneOf"):
        if choice in schema and "properties" not in schema:
            options = [option for option in schema[choice] if nulls or option != _NULL]
            return " or ".join(kind(option, nulls=nulls) for option in options)
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " ".join(f"<code>{escape(str(value))}</code>" for value in values)
    return _plain(schema, nulls=nulls)


def _plain(schema: Schema, *, nulls: bool) -> str:
    types = schema.get("type", "anything")
    names = [types] if isinstance(types, str) else [name for name in types if nulls or name != "null"]
    words = [word for (key, value), word in _WORDS.items() if schema.get(key) == value]
    text = " or ".join(words + [escape(name) for name in names if not (words and name == "string")])
    if "array" in names:
        text += _items(schema, nulls=nulls)
    if isinstance(schema.get("additionalProperties"), dict):
        text += f" of {kind(schema['additionalProperties'], nulls=nulls)}"
    return text + _range(schema)


def _items(schema: Schema, *, nulls: bool) -> str:
    if "prefixItems" in schema:
        return f" of [{', '.join(kind(item, nulls=nulls) for item in schema['prefixItems'])}]"
    least, most = schema.get("minItems"), schema.get("maxItems")
    many = f", {least} or more" if least is not None else f", up to {most}" if most is not None else ""
    return f" of {kind(schema.get('items', {}), nulls=nulls)}{many}"


def _range(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least} to {most}"
    if least is not None or most is not None:
        return f", from {least}" if least is not None else f", up to {most}"
    return ", not empty" if schema.get("minLength") else ""


def _nested(schema: Schema) -> tuple[str, Schema]:
    """The object inside a field, and how its path goes on."""
    for option in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if "properties" in option:
            return ".", option
        if "contentSchema" in option:
            return ".", option["contentSchema"]
        if "properties" in (option.get("items") or {}):
            return "[].", option["items"]
    return "", {}
