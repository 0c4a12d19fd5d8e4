"""What a request says beside its body: the headers by which its client waits, and what a retry is recognised by."""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

import msgspec

from gateway.core.ask import Ask
from gateway.core.catalogue import end_user
from gateway.core.errors import InvalidRequest
from gateway.core.order import Upload, apart
from gateway.core.phases import PhaseMarks
from gateway.edge.head import Head
from gateway.pipeline.call import CacheWish, Call

#: Answer this much before the client's own deadline, so that it learns the job's id.
_MARGIN = 2.0
_LEAST = 0.1
_HEARTBEAT = 10.0
_Word = TypeVar("_Word", bound=str)
_RETRY_COUNT = "x-stainless-retry-count"
_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_TIMEOUT_HEADERS = ("x-stainless-read-timeout", "x-stainless-timeout")


def read_call(  # noqa: PLR0917 - what a call is read from
    ask: Ask, uploads: Sequence[Upload], head: Head, max_wait: float, spent: float, marks: PhaseMarks | None = None
) -> Call:
    """How long to wait and in what manner; `spent`: seconds since the request came. Malformed hints are as if they were
    absent: they change no picture.

    Raises InvalidRequest for those that would have changed what is bought.
    """
    prefer = {} if ask.stream else _preferences(head.get("prefer", ""))
    wish = _cache_wish(head)
    return Call(
        # the heartbeats of a stream keep its client's own deadline from striking
        patience=max(_LEAST, (max_wait if ask.stream else patience(head, max_wait)) - spent),
        body_hash=_body_hash(ask, uploads, wish),
        retry_count=min(_whole(head.get(_RETRY_COUNT)) or 0, 100),
        counted=counts_retries(head),
        user=end_user(ask),
        respond_async=ask.sync is False or ("respond-async" in prefer and "wait" not in prefer),
        prefer_wait=prefer.get("wait"),
        idempotency=_idempotency(ask, head),
        cache=wish,
        marks=marks or PhaseMarks(),
    )


def counts_retries(head: Head) -> bool:
    """Does its SDK say which attempt this is, and so come again by itself?"""
    return _RETRY_COUNT in head


def dry_run(head: Head) -> bool:
    """Is only asked what an order would cost? Raises InvalidRequest: taken for a no, a typing mistake would buy."""
    return _word(head, "x-imagegate-dry-run", ("true", "false")) == "true"


def _idempotency(ask: Ask, head: Head) -> str | None:
    """By endpoint and key: a digest, since it is kept."""
    given = head.every("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _IDEMPOTENCY_KEY.fullmatch(given[0]):
        raise InvalidRequest(
            "'Idempotency-Key' must be 1 to 255 printable ASCII characters, sent once.", param="idempotency-key"
        )
    return sha256(f"{ask.operation}\n{given[0]}".encode()).hexdigest()


def _cache_wish(head: Head) -> CacheWish | None:
    return _word(head, "x-imagegate-cache", ("bypass", "only"))


def _word(head: Head, name: str, words: tuple[_Word, _Word]) -> _Word | None:
    """One of two words, sent once; None: the header is not there. Raises InvalidRequest."""
    given = [value.strip().lower() for value in head.every(name)]
    if not given:
        return None
    for word in words:
        if given == [word]:
            return word
    raise InvalidRequest(f"'{name}' must be {' or '.join(words)}, sent once.", param=name)


def heartbeat(head: Head) -> float:
    """Seconds between a stream's heartbeats: proxies cut what is silent for a minute, some clients sooner."""
    hints = (_seconds(head.get(name)) for name in _TIMEOUT_HEADERS)
    return max(_LEAST, min([_HEARTBEAT, *(hint / 2 for hint in hints if hint is not None)]))


def _body_hash(ask: Ask, uploads: Sequence[Upload], wish: CacheWish | None) -> str:
    """Of what was parsed: a form's boundary changes with each attempt of an SDK. Who asks for a new picture is not given
    that of who did not."""
    references, mask = apart(uploads)
    parsed = {
        "operation": ask.operation,
        "ask": {name: value for name, value in ask.__dict__.items() if value is not None},  # plain values all
        "images": [each.name for each in references],
        **({"mask": mask.name} if mask is not None else {}),
        **({"cache": wish} if wish == "bypass" else {}),
    }
    return sha256(msgspec.json.encode(parsed, order="sorted")).hexdigest()


def patience(head: Head, max_wait: float) -> float:
    """Seconds that its client waits for an answer, from the request's arrival on."""
    for name in _TIMEOUT_HEADERS:
        if (hint := _seconds(head.get(name))) is not None:
            max_wait = min(max_wait, hint - _MARGIN)
    return max(_LEAST, max_wait)


def _preferences(value: str) -> dict[str, float | None]:
    """`Prefer: respond-async, wait=20` (RFC 7240)."""
    found: dict[str, float | None] = {}
    if not value:
        return found
    for part in value.lower().split(","):
        name, _, argument = part.partition(";")[0].strip().partition("=")
        name = name.rstrip()
        if name == "respond-async":
            found[name] = None
        elif name == "wait" and (seconds := _whole(argument.strip('" '))) is not None:
            found[name] = float(seconds)
    return found


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text) if text else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 < seconds < 1e9 else None  # noqa: PLR2004 - NaN and infinities are out
