"""Where a request comes from: who connects; behind proxies that are known, whom they name."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

NAMED_IN: Final = "x-forwarded-for"
HERE: Final = ("", 0)
"""The client of a request that this process makes of itself for somebody, whom it names."""


def address(scope: Scope, proxies: Sequence[str]) -> str:
    """Returns who connects; of `proxies`, whom the last of them names. Each adds one name, some
    of them a header of their own: what came before is anybody's."""
    found = peer(scope)
    named = ",".join(Headers(scope=scope).getlist(NAMED_IN)).split(",")
    while named and (not found or within(found, proxies)):
        before = _read(_without_port(named.pop().strip()))
        if before is None:
            break
        found = str(before)
    return found


def network(scope: Scope, proxies: Sequence[str]) -> str:
    """Returns the same as `address`, but of IPv6 the /64, of which one caller has all addresses."""
    found = address(scope, proxies)
    read = _read(found)
    if isinstance(read, IPv6Address) and read.ipv4_mapped is None:
        return str(IPv6Network((read.packed[:8] + bytes(8), 64)))
    return found


def peer(scope: Scope) -> str:
    """Returns who connects, whatever it says of others."""
    return str((scope.get("client") or HERE)[0])


def within(found: str, networks: Sequence[str]) -> bool:
    """Returns whether an address is in one of the networks."""
    here = _read(found) if networks else None
    return here is not None and any(here in _network(each) for each in networks)


def _read(found: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(found)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _network(written: str) -> IPv4Network | IPv6Network:
    return ip_network(written, strict=False)


def _without_port(named: str) -> str:
    if named.startswith("["):
        return named[1:].partition("]")[0]
    return named.partition(":")[0] if named.count(":") == 1 else named
