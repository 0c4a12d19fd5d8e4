"""Names and addresses of images that exist nowhere, and how a refusal of one looks."""

import socket
import ssl
from collections.abc import Callable, Sequence

import pytest
from aiohttp import AddrInfoType

from gateway.core.errors import InvalidRequest
from gateway.ports import ImageUrls
from gateway.providers.transport import LARGE

LARGEST = 3 * LARGE
NAME = "pictures.example"
PUBLIC = "192.0.1.1"
#: Reading the machine's roots takes longer than all the rest of a test.
NO_ROOTS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
#: What every refusal says, whatever its reason.
BLAND = (
    "This image URL may not or could not be fetched: it must be a public https:// address that answers with the image"
    " itself, in time, without a redirect and not too large."
)


def dns(*addresses: str) -> Callable[[str, int], Sequence[AddrInfoType]]:
    """Every name has these addresses."""

    def names(host: str, port: int) -> Sequence[AddrInfoType]:
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (kind, socket.SOCK_STREAM, 6, "", (address, port) if kind == socket.AF_INET else (address, port, 0, 0))
            for kind, address in zip(kinds, addresses, strict=True)
        ]

    return names


async def refusal(images: ImageUrls, url: str) -> str:
    with pytest.raises(InvalidRequest) as raised:
        await images.fetch(url)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, "invalid_value", None)
    assert raised.value.__cause__ is None  # a log would tell it
    return raised.value.message
