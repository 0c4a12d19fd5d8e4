"""Which addresses a result may be fetched from, and which spellings of a URL are read at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.addresses import Origin, is_public, origin_of

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.19.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:7f00:1:0:0:f7f7:f7f7",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "localhost",
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "",
]
PUBLIC = [
    "8.8.8.8",
    "192.0.1.1",
    "172.32.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://cdn.example/a.png", Origin("https", "cdn.example", 443)),
        ("HTTP://CDN.example:8080?x=1", Origin("http", "cdn.example", 8080)),
        ("https://[2606:4700::1111]:444/a", Origin("https", "2606:4700::1111", 444)),
        ("http://127.0.0.1", Origin("http", "127.0.0.1", 80)),
        ("https://user@cdn.example/a", None),
        ("https://cdn.example\\@evil/a", None),
        ("https://cdn.example/a\\b", None),
        ("https://cdn.example#@evil/", None),
        ("https://cdn%2eexample/", None),
        ("https://①②⑦.0.0.1/", None),
        ("https://cdn.example:0/", None),
        ("https://cdn.example:65536/", None),
        ("https://cdn.example/a b", None),
        ("https://cdn.example/\r\nHost: evil", None),
        ("https:///a", None),
        ("//cdn.example/a", None),
        ("ftp://cdn.example/a", None),
        ("file:///etc/passwd", None),
    ],
)
def test_only_plain_urls_are_read(url: str, origin: Origin | None) -> None:
    assert origin_of(url) == origin


@given(st.text())
def test_any_text_is_an_address_or_not(text: str) -> None:
    assert is_public(text) in (True, False)
    for url in (text, "https://" + text):
        origin = origin_of(url)
        assert origin is None or isinstance(origin, Origin)
