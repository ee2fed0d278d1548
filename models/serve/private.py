"""Loading adapters is for the admin network: a public address is never even connected to."""

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from twofold.errors import InvalidInput, UpstreamError

PRIVATE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "fc00::/7"),
    )
)


def private_address(url: str) -> str:
    """Returns the address to connect to for `url`, checked: a name could be another one a moment
    later.

    Raises InvalidInput on a URL that may not be used, and UpstreamError where its name is unknown.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise InvalidInput(
            "TWOFOLD_MODEL_ADMIN_URL is no address such as http://127.0.0.1:8000 (a key goes into"
            " TWOFOLD_MODEL_ADMIN_KEY)."
        )
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UpstreamError(f"TWOFOLD_MODEL_ADMIN_URL: nobody knows the host {host!r}.") from error
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if not _private(address):
            raise InvalidInput(
                f"TWOFOLD_MODEL_ADMIN_URL names {host!r}, which is {address}: adapters are loaded"
                " over a loopback or private address only."
            )
    return addresses[0]


def _private(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(mapped in network for network in PRIVATE if network.version == mapped.version)
