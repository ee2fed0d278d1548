"""Who counts as this machine's own user: the only caller that may come without a key."""

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from twofold.errors import Forbidden

HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
"""Names of the loopback address, as a Host header has them."""
_FORWARDED: Final = frozenset(
    {
        "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip",
        "cf-connecting-ip", "fastly-client-ip", "x-original-forwarded-for",
        "x-envoy-external-address",
    }
)  # fmt: skip


def is_local(scope: Scope) -> bool:
    """Returns whether the request was made on this machine, to this machine, with nobody in
    between.

    A proxy on the loopback address is a neighbour whose callers are strangers: it shows by its
    headers, by the name it was asked for, or by HTTP/1.0, which older nginx speaks to servers
    behind it and no client of today does.
    """
    headers = Headers(scope=scope)
    return (
        _loopback(scope)
        and scope.get("http_version") != "1.0"
        # Of two names, a server in between may have gone by the other one.
        and [host_name(each) in HOSTS for each in headers.getlist("host")] == [True]
        and not any(name in _FORWARDED or name.startswith("x-forwarded") for name in headers)
    )


def check_same_site(headers: Headers) -> None:
    """Raises Forbidden where a page of another site makes the request: without a key, the browser
    of this machine's user would lend that page its rights."""
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin")
    if site not in ("none", "same-origin") or (
        origin is not None and urlsplit(origin).netloc != headers.get("host", "")
    ):
        raise Forbidden("Pages of other sites may not ask this server. Send a key instead.")


def host_name(host: str) -> str:
    """Returns a Host header without its port."""
    name, _, port = host.rpartition(":")
    return name if port.isdigit() and name else host


def _loopback(scope: Scope) -> bool:
    address = scope.get("client") and scope["client"][0]
    # A socket of this machine's file system has no address.
    return not address or address == "::1" or address.startswith(("127.", "::ffff:127."))
