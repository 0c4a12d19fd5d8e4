"""Bodies on the disk into fields and reference images: a child decodes them, and what they name by URL is fetched."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.core.errors import GatewayError, InvalidRequest
from gateway.core.order import Upload
from gateway.edge.exchange import Call, of
from gateway.edge.intake_answer import Address, Wish
from gateway.edge.intake_body import Body
from gateway.edge.intake_child import ChildFailed, ChildLost, Children, Read
from gateway.edge.intake_limits import IntakeLimits, busy, turn
from gateway.ports.image_urls import ImageUrls


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose body is read; its patience `ends` at that second of the loop."""

    request: Call
    ends: float

    def patience(self, most: float) -> float:
        """Seconds."""
        return min(most, self.ends - asyncio.get_running_loop().time())

    def failed(self, error: GatewayError, failed: Exception) -> GatewayError:
        """Tells the log at once why: whoever renders the error knows of no reason."""
        of(self.request).failed(error, str(failed))
        return error


class Reader:
    """As many at once, and for as long, as `limits` says. `environment` is all that a child gets of ours."""

    def __init__(self, directory: Path, environment: Mapping[str, str], urls: ImageUrls, limits: IntakeLimits) -> None:
        self._directory = directory
        self._urls = urls
        self._limits = limits
        self._children = Children(environment, limits)
        self._fetching = asyncio.Semaphore(limits.fetched)

    async def read(self, asker: Asker, body: Body, wish: Wish) -> Read:
        """Raises InvalidRequest, and NoCapacity where another try may go well."""
        file = await body.file()
        try:
            return await self._children.read(wish, file, asker.patience(self._limits.wait_s))
        except ChildLost as lost:
            raise asker.failed(busy("The gateway could not read the images now."), lost) from lost
        except ChildFailed as failed:
            param = wish.param or "image"
            refused = InvalidRequest(
                f"Invalid '{param}': it cannot be decoded.", code="invalid_image_file", param=param
            )
            raise asker.failed(refused, failed) from failed

    async def complete(self, asker: Asker, read: Read) -> tuple[Upload, ...]:
        """Fetches what is still an address, and lays the mask, which comes last, like its one image. Raises as `read`."""
        left, frame = self._limits.fetch_s, read.frame
        uploads: list[Upload] = []
        for image in read.images:
            if isinstance(image, Upload):
                uploads.append(image)
                continue
            made, left = await self._by_address(asker, image, Wish(param=image.param), left)
            uploads += (each for each in made.images if isinstance(each, Upload))
            frame = frame or made.frame
        if read.mask is not None:
            uploads.append(await self._mask(asker, read.mask, Wish(param="mask", frame=frame), left))
        return tuple(uploads)

    async def _mask(self, asker: Asker, mask: Upload | Address | bytes, wish: Wish, seconds: float) -> Upload:
        if isinstance(mask, Upload):
            return mask
        if isinstance(mask, bytes):
            made = await self._closing(asker, Body(self._directory, mask), wish)
        else:
            made, _ = await self._by_address(asker, mask, wish, seconds)
        assert isinstance(made.mask, Upload)  # noqa: S101 - without it another picture would be bought
        return made.mask

    async def _by_address(self, asker: Asker, image: Address, wish: Wish, seconds: float) -> tuple[Read, float]:
        """And what is left of the seconds."""
        async with turn(self._fetching, asker.patience(self._limits.wait_s)):
            body, left = await self._fetched(image, seconds)
            return await self._closing(asker, body, wish), left

    async def _closing(self, asker: Asker, body: Body, wish: Wish) -> Read:
        try:
            return await self.read(asker, body, wish)
        finally:
            await body.close()

    async def _fetched(self, image: Address, seconds: float) -> tuple[Body, float]:
        """The picture there, and what is left of the seconds that all of an order's have together."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        try:
            async with asyncio.timeout_at(ends):
                data = await self._urls.fetch(image.url)
        except TimeoutError:
            message = f"Fetching the images took longer than {self._limits.fetch_s:g} s."
            raise InvalidRequest(message, param=image.param) from None
        except InvalidRequest as error:
            raise InvalidRequest(error.message, code=error.code, param=image.param) from error
        return Body(self._directory, data), ends - loop.time()
