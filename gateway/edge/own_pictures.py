"""Image URLs of our own: a picture that was answered as `url` can be edited by that URL, and never travels for it."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.core.errors import InvalidRequest, NotFound
from gateway.edge.files import PictureFiles
from gateway.edge.reply import CHUNK
from gateway.ports import ImageUrls

#: On whatever host and under whatever path: the signature is the credential, and a proxy may call us anything.
_OURS = re.compile(
    r"https?://[\x21-\x7e]{1,2048}/files/(?P<name>[0-9a-f]{64}\.[a-z]{3,4})\?(?P<query>[\x21-\x7e]{1,256})"
)


@dataclass(frozen=True, slots=True)
class OwnPictures(ImageUrls):
    """Reads what our own signed URLs name, at most `largest` bytes; everything else is up to `others`."""

    files: PictureFiles
    others: ImageUrls
    largest: int

    async def fetch(self, url: str) -> bytes:
        """Raises StoreDown as well."""
        match = _OURS.fullmatch(url)
        if match is None:
            return await self.others.fetch(url)
        name = match["name"]
        try:
            found = await self.files.find(name, dict(parse_qsl(match["query"])))
            if found.size > self.largest:
                raise InvalidRequest(f"The image at this URL is larger than {self.largest} bytes.")
            return b"".join([piece async for piece in self.files.blobs.read(name, CHUNK)])
        except (NotFound, FileNotFoundError):
            return await self.others.fetch(url)
