"""Forms as clients send them, byte by byte, and images as data: URIs."""

from base64 import b64encode

FORM = "multipart/form-data; boundary=lim-it"
#: A part's Content-Disposition and its data.
Part = tuple[str, bytes]
#: Bytes that every layer likes to trip over; all 256 values, a boundary that is none, and line ends.
PICTURE = bytes(range(256)) + b"\r\n--lim-i\r\n--lim-it_\r\n\r\n"[:10] + b"\x00\xff"


def text(name: str, value: bytes | str) -> Part:
    return f'form-data; name="{name}"', value.encode() if isinstance(value, str) else value


def file(name: str, data: bytes = PICTURE, filename: str = "upload", kind: str = "application/octet-stream") -> Part:
    return f'form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {kind}', data


def form(*parts: Part) -> bytes:
    joined = b"".join(
        b"--lim-it\r\nContent-Disposition: " + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts
    )
    return joined + b"--lim-it--\r\n"


def data_uri(data: bytes = PICTURE, head: str = "data:image/png;base64,") -> str:
    return head + b64encode(data).decode()
