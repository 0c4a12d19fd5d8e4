"""GET /files/{name}: picture bytes by a signed, expiring URL, with and without an Authorization header."""

from dataclasses import dataclass

from litestar import get
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


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """The signature is the only credential: a foreign Authorization header is not even read."""

    blobs: Blobs
    admission: Admission
    clock: Clock
    url_secrets: tuple[bytes, ...]

    async def find(self, name: str, query: dict[str, str]) -> int:
        """The picture's size in bytes. Raises NotFound, one and the same for every fault."""
        key_id = verify(self.url_secrets, name, query, self.clock.now() // 1000)
        if key_id is not None and await self.admission.live(key_id) is not None:
            size = await self.blobs.size(name)
            if size is not None:
                return size
        raise NotFound("No such file, or its URL has expired.", code="unknown_url")


@get("/files/{name:str}", name="files")
async def picture(request: Call, name: FromPath[str], files: NamedDependency[PictureFiles]) -> ASGIApp:
    """The picture's bytes."""
    size = await files.find(name, dict(request.query_params.items()))
    codec = name.rpartition(".")[2]
    headers = (
        ("content-type", _MEDIA[codec]),
        ("cache-control", "private, max-age=86400, immutable"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("content-disposition", f'inline; filename="{name[:16]}.{codec}"'),
        ("etag", f'"{name.partition(".")[0]}"'),
        ("cross-origin-resource-policy", "cross-origin"),
    )
    return Reply(200, headers, Body((BlobPiece(name, size, base64=False),), files.blobs))
