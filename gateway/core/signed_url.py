"""Signed picture URLs: `/files/<name>?k=KEY_ID&e=EXPIRES&s=SIGNATURE`, for one key and a time, on our own address."""

import base64
import hmac
import re
from dataclasses import dataclass
from urllib.parse import quote

from gateway.core.keys import keyed

_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{43}")
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Signed:
    """What a good signature vouches for; `expires` in seconds since the epoch."""

    key_id: str
    expires: int


def sign(secret: bytes, name: str, key_id: str, expires: int) -> str:
    """The path and query; `expires` in seconds since the epoch."""
    signature = _signature(secret, name, key_id, str(expires))
    return f"/files/{name}?k={quote(key_id)}&e={expires}&s={signature}"


def verify(secrets: tuple[bytes, ...], name: str, query: dict[str, str], now: int) -> Signed | None:
    """For whom and until when a good signature was made; None for any fault. Every secret of the ring is tried.

    The caller still has to ask whether that key lives.
    """
    key_id, expires, signature = (query.get(field, "") for field in "kes")
    if not _NUMBER.fullmatch(expires) or not _SIGNATURE.fullmatch(signature):
        return None
    good = False
    for secret in secrets:
        good |= hmac.compare_digest(_signature(secret, name, key_id, expires), signature)
    return Signed(key_id, int(expires)) if good and int(expires) > now else None


def _signature(secret: bytes, name: str, key_id: str, expires: str) -> str:
    # each part has a form of its own without line breaks (a name with one would not be found), so none runs into the next
    signed = f"v1\n{name}\n{key_id}\n{expires}".encode()
    return base64.urlsafe_b64encode(keyed(secret, signed)).rstrip(b"=").decode()
