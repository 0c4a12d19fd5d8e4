"""The form of an API key: `sk-ig-` + 12 base62 (public id) + `-` + 32 base62 (secret) + 6 base62 (CRC32 of all before); and of
a worker token, which is the same after `ig-worker-`.

The checksum turns typing errors and junk away before any store is asked. 32 base62 characters are 190 random bits, so a
plain HMAC at rest is enough (slow hashes repair low entropy, and cost 160 ms a call).
"""

import binascii
import hmac
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Self

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

#: Two digits at once: every request's key has its checksum recomputed, and every job an id.
_PAIRS = tuple(first + second for first in BASE62 for second in BASE62)

KEY_PREFIX = "sk-ig-"
WORKER_PREFIX = "ig-worker-"
_TAIL = re.compile(r"([0-9A-Za-z]{12})-[0-9A-Za-z]{38}")


def base62(number: int, length: int) -> str:
    """`number` in base 62, left-filled to `length`."""
    pairs: list[str] = []
    for _ in range(length // 2):
        number, pair = divmod(number, 62 * 62)
        pairs.append(_PAIRS[pair])
    if length % 2:
        pairs.append(BASE62[number % 62])
    return "".join(reversed(pairs))


def draw(length: int, choose: Callable[[str], str]) -> str:
    """`length` base62 characters, each taken by `choose` (the caller brings the randomness: `secrets.choice`)."""
    return "".join(choose(BASE62) for _ in range(length))


def mint(choose: Callable[[str], str], prefix: str = KEY_PREFIX) -> tuple[str, str]:
    """A new key: (public id, the whole key, to be shown once)."""
    key_id = draw(12, choose)
    return key_id, mint_for(key_id, choose, prefix)


def mint_for(key_id: str, choose: Callable[[str], str], prefix: str = KEY_PREFIX) -> str:
    """The whole key, with a new secret, for an id that is there already."""
    body = f"{prefix}{key_id}-{draw(32, choose)}"
    return body + _checksum(body)


def key_id(key: str, prefix: str = KEY_PREFIX) -> str | None:
    """The public id inside a well-formed key of that prefix; None for junk, typing errors and whatever else."""
    match = _TAIL.fullmatch(key.removeprefix(prefix)) if key.startswith(prefix) else None
    if match is None or not hmac.compare_digest(_checksum(key[:-6]), key[-6:]):
        return None
    return match[1]


def derive(secret: bytes, label: str) -> bytes:
    """A key of its own for each use, so that one use never signs for another."""
    return hmac.digest(secret, f"imagegate/{label}/v1".encode(), sha256)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Derived from every secret of a ring: the first hashes new keys and signs URLs, the others still verify."""

    peppers: tuple[bytes, ...]
    url_secrets: tuple[bytes, ...]
    worker_peppers: tuple[bytes, ...]

    @classmethod
    def of(cls, ring: Sequence[bytes]) -> Self:
        return cls(
            peppers=tuple(derive(secret, "keys") for secret in ring),
            url_secrets=tuple(derive(secret, "urls") for secret in ring),
            worker_peppers=tuple(derive(secret, "workers") for secret in ring),
        )


def digest(pepper: bytes, key: str) -> bytes:
    """What is stored of a key: an HMAC-SHA256, so that writing to the store alone forges nothing."""
    return keyed(pepper, key.encode())


def keyed(secret: bytes, signed: bytes) -> bytes:
    """Its HMAC-SHA256. Never by hmac.digest, which would let go of the interpreter for 3 µs."""
    begun = _begun(secret).copy()
    begun.update(signed)
    return begun.digest()


@lru_cache(maxsize=64)
def _begun(secret: bytes) -> hmac.HMAC:
    """What is the same for all that one secret signs: more than half of the work."""
    return hmac.new(secret, digestmod=sha256)


def _checksum(body: str) -> str:
    return base62(binascii.crc32(body.encode()), 6)
