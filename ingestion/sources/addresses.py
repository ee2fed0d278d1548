"""Which addresses and URLs a source may be read from: public ones, by the web's own ports."""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import httpx

from twofold.errors import Forbidden, InvalidInput

MAX_URL = 2048

_CLOSED_4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        # Azure's host agent answers on this one address, which looks public.
        "168.63.129.16/32",
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
]
_OPEN_6 = IPv6Network("2000::/3")
_CLOSED_6 = [
    IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20")
]
_NAT64 = IPv6Network("64:ff9b::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_USER = re.compile(r"\A[^/?#]*+//[^/?#]*@")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


@dataclass(frozen=True)
class Rules:
    """What may be read. `private_hosts` are names whose addresses are taken as they come."""

    ports: Collection[int] = (80, 443)
    private_hosts: Collection[str] = ()

    def trusts(self, host: str) -> bool:
        return plain_host(host) in {plain_host(each) for each in self.private_hosts}


def plain_host(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def is_public(address: str) -> bool:
    """Returns whether an IP address, in the text form that a resolver gives, is one of the open
    internet.

    An IPv6 address that carries an IPv4 one (mapped, NAT64) is as public as that one; other
    transition forms (6to4, Teredo) are not: where they lead is not ours to see.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return parsed.is_global and not any(parsed in network for network in _CLOSED_4)
    if parsed.scope_id is not None:
        return False
    if parsed in _MAPPED or parsed in _NAT64:
        return is_public(str(IPv4Address(parsed.packed[-4:])))
    return _public_6(parsed)


def _public_6(address: IPv6Address) -> bool:
    return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)


def check_url(url: str, rules: Rules) -> httpx.URL:
    """Returns the URL, parsed, if it is of a form that may be fetched; its name is resolved later.

    Raises InvalidInput on what is no web address, Forbidden on one that is closed to sources.
    """
    if len(url) > MAX_URL or any(ord(c) <= 0x20 or ord(c) == 0x7F or c == "\\" for c in url):
        raise InvalidInput(f"{shown(url)} is not a web address. Mend it.")
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
        usual = {"http": 80, "https": 443}.get(parsed.scheme, 0)
        port = usual if parsed.port is None else parsed.port
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise InvalidInput(f"{shown(url)} is not a web address. Mend it.") from error
    if parsed.scheme not in ("http", "https") or not host:
        raise InvalidInput(f"{shown(url)} must start with https:// or http:// and name a host.")
    if parsed.userinfo or _USER.match(url):
        raise InvalidInput(
            f"{shown(url)} carries a user name or password. Take it out of the address."
        )
    if port not in rules.ports:
        raise Forbidden(
            f"{shown(url)} names port {port}. Sources are read on ports"
            f" {', '.join(map(str, rules.ports))}; add yours to TWOFOLD_SOURCE_PORTS."
        )
    if not rules.trusts(host):
        _check_host(host, url)
    return parsed


def _check_host(host: str, url: str) -> None:
    name = plain_host(host)
    literal = _literal(name)
    if literal is not None:
        if not is_public(name):
            raise closed(url)
        return
    # The C library reads 2130706433, 0x7f.1 and 0177.0.0.1 as addresses; nobody means well by it.
    if _NUMBER.fullmatch(name.rsplit(".", 1)[-1]) or not _NAME.fullmatch(name):
        raise Forbidden(f"{shown(url)} does not name its host in a plain way. Use its name.")
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
        raise closed(url)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def closed(url: str) -> Forbidden:
    return Forbidden(
        f"{shown(url)} leads to a private or reserved address, which sources may not read. If it"
        " is a server of yours, name its host in TWOFOLD_SOURCE_PRIVATE_HOSTS."
    )


def shown(url: str) -> str:
    """Returns a URL as errors and logs may show it: no user, no query, no fragment, not too
    long."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    bare = re.sub(r"//[^/@]*@", "//", bare)
    return repr(bare if len(bare) <= 200 else bare[:197] + "...")
