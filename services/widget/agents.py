"""Who may use the desk: a key, a name that a signing-in proxy vouches for, or this machine."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import httpx
import orjson
from fastapi import Request

from services.http.local import check_same_site, is_local
from services.http.origin import NAMED_IN, address
from services.widget.answers import DOWN
from twofold.errors import Forbidden, NotFound, Overloaded, Unauthorized, Unavailable

TTL_S: Final = 10.0
"""A revoked key works at the desk this much longer."""
MOST_KNOWN: Final = 1000
SCOPES: Final = frozenset({"handoffs", "admin"})
TOO_MANY: Final = 429


class KeyHolder(NamedTuple):
    """What the answer service says of a key."""

    workspace: str
    scopes: frozenset[str]


class Agent(NamedTuple):
    """A person at the desk; `name` is known only where a proxy said it."""

    name: str
    auth: Literal["local", "key", "proxy"]


@dataclass(slots=True)
class Callers:
    """Asks the answer service what a key may do.

    `local`: this machine's own user may come without a key, where the answer service lets it.
    """

    http: httpx.AsyncClient
    local: bool
    workspace: str
    """Of the sites and threads that are kept here: keys of others find nothing."""
    proxies: Sequence[str]
    _known: dict[tuple[bool, str], tuple[float, KeyHolder]] = field(default_factory=dict)

    async def scopes(self, request: Request) -> frozenset[str]:
        """Returns the scopes of whoever asks. Raises Unauthorized, or NotFound for another
        workspace's key."""
        found = await self._find(request)
        if found.workspace != self.workspace:
            raise NotFound(f"Workspace {found.workspace!r} is not kept here.")
        return found.scopes

    async def _find(self, request: Request) -> KeyHolder:
        key = request.headers.get("authorization", "")
        at_home = self.local and is_local(request.scope)
        if not key and not at_home:
            raise Unauthorized("A key is needed here. Send it as Authorization: Bearer tf_….")
        if not key:
            check_same_site(request.headers)
        asked = (at_home, hashlib.sha256(key.encode()).hexdigest())
        found = self._known.get(asked)
        if found is not None and time.monotonic() - found[0] < TTL_S:
            return found[1]
        told = await self._ask(key, None if at_home else address(request.scope, self.proxies))
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[asked] = (time.monotonic(), told)
        return told

    async def _ask(self, key: str, stranger: str | None) -> KeyHolder:
        # We ask from this machine, where any bearer's word is as good as none: say for whom, or a
        # stranger's would be taken for our own user's, and the keys that he tries for our tries.
        headers = {} if stranger is None else {NAMED_IN: stranger or "unknown"}
        if key:
            headers["Authorization"] = key
        try:
            response = await self.http.get("/v1/caller", headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(DOWN) from error
        if response.status_code in (401, 403):
            raise Unauthorized(_detail(response) or "This key is unknown.")
        if response.status_code == TOO_MANY:
            raise Overloaded(_detail(response) or DOWN, float(response.headers["retry-after"]))
        if not response.is_success:
            raise Unavailable(DOWN)
        told = orjson.loads(response.content)
        return KeyHolder(told["workspace"], frozenset(told["scopes"]))


async def agent_of(request: Request, callers: Callers, header: str, proxied: bool) -> Agent:
    """Returns the agent who asks. `proxied`: the request comes from a proxy whose `header` is
    believed.

    Raises Unauthorized, Forbidden for a key without the scope, NotFound for another workspace's.
    """
    if header and proxied and (name := request.headers.get(header, "").strip()):
        check_same_site(request.headers)
        return Agent(name[:80], "proxy")
    scopes = await callers.scopes(request)
    if scopes.isdisjoint(SCOPES):
        raise Forbidden("This key lacks the scope handoffs.")
    return Agent("", "key" if request.headers.get("authorization") else "local")


def require(scopes: frozenset[str], needed: Sequence[str]) -> None:
    """Raises Forbidden where none of `needed` is among `scopes`."""
    if scopes.isdisjoint({*needed, "admin"}):
        raise Forbidden(f"This key lacks the scope {' or '.join(needed)}.")


def _detail(response: httpx.Response) -> str:
    try:
        content: Any = orjson.loads(response.content)
        return str(content["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
