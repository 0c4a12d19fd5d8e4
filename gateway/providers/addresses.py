"""Where a result may be fetched from: which URLs are spelt plainly, and which addresses are the public internet's."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# `ipaddress.is_global` is no rule to stand on: in Python 3.11 it takes NAT64 and 6to4 spellings of 127.0.0.1, site-local,
# multicast and 192.0.0.8 for global. The lists are IANA's special-purpose registries (RFC 6890).
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public, and is the metadata service inside every Azure machine
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_UNICAST_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """True for a global unicast address; one that carries IPv4 addresses inside is as public as all of them are."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in net for net in _NOT_PUBLIC_V4)
    if inside := _carried(ip):
        return all(is_public(str(carried)) for carried in inside)
    return ip in _UNICAST_V6 and not any(ip in net for net in _NOT_PUBLIC_V6)


def _carried(ip: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses in a mapped, Teredo, 6to4 or NAT64 address."""
    if ip.ipv4_mapped:
        return (ip.ipv4_mapped,)
    if ip.teredo:
        return ip.teredo
    if ip.sixtofour:
        return (ip.sixtofour,)
    return (IPv4Address(int(ip) & 0xFFFF_FFFF),) if ip in _NAT64 else ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host (lower case, IPv6 without brackets) and port of a URL."""

    scheme: str
    host: str
    port: int


_PORTS = range(1, 65_536)
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Stricter than RFC 3986 on purpose: no user, no backslash, no escape in the host, so that no two parsers can disagree.
_PLAIN_URL = re.compile(
    r"(?P<scheme>https?)://(?:(?P<host>[a-z0-9._-]+)|\[(?P<v6>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?(?:[/?][\x21-\x7e]*)?",
    re.IGNORECASE | re.ASCII,
)


def origin_of(url: str) -> Origin | None:
    """The origin of a plainly written http(s) URL; None for any other."""
    match = _PLAIN_URL.fullmatch(url)
    if match is None or "\\" in url:
        return None
    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    return Origin(scheme, (match["host"] or match["v6"]).lower(), port) if port in _PORTS else None
