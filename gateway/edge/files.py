"""GET and HEAD /files/{name}: picture bytes by a signed, expiring URL, with and without an Authorization header."""

import re
from dataclasses import dataclass

from litestar import route
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ASGIApp

from gateway.core.errors import NotFound
from gateway.core.signed_url import verify
from gateway.edge.exchange import Call
from gateway.edge.reply import BlobPiece, Body, Reply
from gateway.pipeline.admission import Admission
from gateway.ports import Blobs, Clock

_MEDIA = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
#: seconds; the bytes under a name never change, but its URL ends
_LONGEST_KEPT = 86_400
#: An entity tag (RFC 9110 8.8.3); it may hold commas, so a list of them is not split at these.
_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Found:
    """A picture of `size` bytes, whose URL lives for `left` whole seconds more."""

    size: int
    left: int


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """The signature is the only credential: a foreign Authorization header is not even read."""

    blobs: Blobs
    admission: Admission
    clock: Clock
    url_secrets: tuple[bytes, ...]

    async def find(self, name: str, query: dict[str, str]) -> Found:
        """Raises NotFound, one and the same for every fault."""
        now = self.clock.now()
        signed = verify(self.url_secrets, name, query, now // 1000)
        if signed is not None and await self.admission.live(signed.key_id) is not None:
            size = await self.blobs.size(name)
            if size is not None:
                return Found(size, (signed.expires * 1000 - now) // 1000)
        raise NotFound("No such file, or its URL has expired.", code="unknown_url")


@route("/files/{name:str}", http_method=["GET", "HEAD"], name="files")
async def picture(request: Call, name: FromPath[str], files: NamedDependency[PictureFiles]) -> ASGIApp:
    """The picture's bytes, or 304 for who has them. An expired URL is 404 even then, or a copy could be renewed forever."""
    found = await files.find(name, dict(request.query_params.items()))
    digest, _, codec = name.partition(".")
    etag = f'"{digest}"'
    caching = (
        # no cache answers for a URL that has expired
        ("cache-control", f"private, max-age={min(_LONGEST_KEPT, found.left)}, immutable"),
        ("etag", etag),
    )
    if _is_had(etag, ",".join(request.headers.getall("if-none-match", []))):
        return Reply(304, caching, None)
    headers = (
        ("content-type", _MEDIA[codec]),
        *caching,
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("content-disposition", f'inline; filename="{name[:16]}.{codec}"'),
        ("cross-origin-resource-policy", "cross-origin"),
    )
    return Reply(200, headers, Body((BlobPiece(name, found.size, base64=False),), files.blobs))


def _is_had(etag: str, if_none_match: str) -> bool:
    """By the weak comparison: proxies that compress on the way weaken our tags."""
    return if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match)
