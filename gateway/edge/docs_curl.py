"""Examples of the API's description as curl commands."""

import json
import re
import shlex
from typing import Any

Schema = dict[str, Any]


def commands(address: str, path: str, method: str, operation: Schema) -> list[tuple[str, str]]:
    """(What it shows, the command) for each example of a request body; one command if there is no body.

    None for a path that has a part without an example.
    """
    filled = _filled(path, operation)
    if "{" in filled:
        return []
    key = [] if operation.get("security") == [] else ['-H "Authorization: Bearer $OPENAI_API_KEY"']
    if "requestBody" not in operation:
        option = "" if method == "get" else f"-X {method.upper()} "
        return [("", _joined([f"curl {option}{address}{filled}", *key]))]
    return [
        # curl says POST by itself when there is a body, and -N shows the events of a stream as they come
        (title, _joined([f"curl {'-N ' if value.get('stream') else ''}{address}{filled}", *key, *_body(kind, value)]))
        for kind, media in operation["requestBody"]["content"].items()
        for title, value in examples(media)
    ]


def _filled(path: str, operation: Schema) -> str:
    examples = {each["name"]: each["example"] for each in operation["parameters"] if "example" in each}
    return re.sub(r"\{(\w+)\}", lambda match: str(examples.get(match[1], match[0])), path)


def examples(media: Schema) -> list[tuple[str, Schema]]:
    """(What it shows, the example itself)."""
    if "examples" in media:
        return [(each.get("summary", ""), each["value"]) for each in media["examples"].values()]
    return [("", media["example"])] if "example" in media else []


def _body(media_type: str, value: Schema) -> list[str]:
    if media_type == "multipart/form-data":
        return [f"-F {shlex.quote(f'{name}={text}')}" for name, text in value.items()]
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return [f"-H 'Content-Type: {media_type}'", f"-d {shlex.quote(text)}"]


def _joined(arguments: list[str]) -> str:
    return " \\\n  ".join(arguments)
