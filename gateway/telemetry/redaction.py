"""What never reaches a log: keys, prompts, signed addresses, image bytes. Applied to every line, whoever wrote it."""

import re
from functools import lru_cache

from gateway.core.origin import chain, frames

Scalar = str | int | float | bool | None

_HIDDEN = "[redacted]"
_LONGEST = 2000

#: Fields whose value is hidden whatever it is.
_SECRET_NAMES = frozenset(
    {
        *("authorization", "proxy_authorization", "x_api_key", "api_key", "admin_key", "secret", "token", "password"),
        *("cookie", "set_cookie", "body", "query", "prompt", "negative_prompt", "revised_prompt", "image", "b64_json"),
    }
)
#: Fields that quote somebody's exception, and with it perhaps the input it choked on.
_QUOTING_NAMES = frozenset({"error", "exception"})

_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    # our keys, EmpirioLabs', and any other `sk-…` that a client sent by mistake
    (re.compile(r"\b(sk-ig-|sk-empiriolabs-|ig-worker-|sk-)[A-Za-z0-9_-]{6,}"), r"\1…"),
    (re.compile(r"\b(bearer|basic)\s+[^\s\"',]+", re.IGNORECASE), r"\1 …"),
    (re.compile(r"://[^\s/@]+@"), "://…@"),
    # every query: ours signs with `s`, each storage service with names of its own
    (re.compile(r"\?[\w.%~-]+=[^\s\"'<>]*"), "?…"),
    (re.compile(r"(?<!\w)(s|sig|signature|token|secret|api_key|x-amz-[a-z-]+)=[^\s&\"'<>]+", re.IGNORECASE), r"\1=…"),
    (re.compile(r"(data:[\w/+.-]*;base64,)[^\s\"']+"), r"\1…"),
    # base64 of an image; a SHA-256 in hex (64) is no secret and stays
    (re.compile(r"[A-Za-z0-9+/_-]{80,}={0,2}"), "…"),
)
#: What nothing of the above is in, if it is short: words of letters, digits, dots and underscores, joined by dashes that end no
#: `sk-` and no `ig-worker-`. Most values are of our own making, and a line has a dozen.
_PLAIN = re.compile(r"[A-Za-z0-9_.]*+(?:(?<![kr])-[A-Za-z0-9_.]*+)*+")
_SHORT = 80
_QUOTED = re.compile(r"(?<!\w)'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def clean(name: str, value: object) -> Scalar:
    """The value of a log field as it may be written: of a list its items, of any other object only the type."""
    if _is_secret(name):
        return _HIDDEN
    if isinstance(value, str):
        return mask(without_quotes(value) if name in _QUOTING_NAMES else value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return ", ".join(str(clean(name, item)) for item in value)
    return f"[{type(value).__name__}]"


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return name.lower().replace("-", "_") in _SECRET_NAMES


def mask(text: str) -> str:
    """`text` with secrets masked, on one line (no forged lines, no terminal escapes), and cut where it is absurdly long."""
    if len(text) < _SHORT and _PLAIN.fullmatch(text):
        return text
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    text = _CONTROL.sub(" ", text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def without_quotes(text: str) -> str:
    """`text` with what stands in quotes left out: other people's messages quote the input they are about."""
    return _QUOTED.sub("'…'", text)


def describe(error: BaseException) -> str:
    """An exception, those it came from or holds, and where each was raised.

    The usual traceback quotes messages whole, and messages quote input: a failed conversion would log the prompt.
    """
    described = (f"{type(each).__qualname__}: {without_quotes(str(each))}{frames(each)}" for each in chain(error))
    return mask(" | ".join(described))
