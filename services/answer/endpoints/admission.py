"""Who is let in, pure ASGI, before a byte of a body is read: the key, its scope, its rate, room."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.answer.endpoints.problems import headers_of, problem_of, respond
from services.answer.keys import Caller, KeyRing
from services.answer.limits import Limiter, check_rate
from twofold import metrics
from twofold.errors import Forbidden, Overloaded, TwofoldError, Unauthorized
from twofold.settings import Settings

CALLER: Final = "twofold.caller"
"""Where in the ASGI scope the caller stands, once admitted."""

ASKING: Final = frozenset({"/v1/chat", "/v1/chat/completions", "/v1/search", "/v1/handoffs"})
"""Where somebody waits for work that takes long; everything else has its own, smaller room."""
OTHERS: Final = 64
RETRY_AFTER_S: Final = 1.0

# First match wins; a path under /v1 that is not here needs `admin`.
_NEEDS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("*", "/v1/hooks/", ()),  # signed by who sends them
    ("*", "/v1/chat", ("answer",)),
    ("GET", "/v1/models", ("answer",)),
    ("GET", "/v1/answers/*/events", ("answer", "read")),
    ("GET", "/v1/answers", ("read",)),
    ("GET", "/v1/conversations/", ("read",)),
    ("*", "/v1/search", ("search",)),
    ("GET", "/v1/feedback", ("read",)),
    ("*", "/v1/feedback", ("feedback",)),
    ("POST", "/v1/handoffs/*/reply", ("handoffs",)),
    ("POST", "/v1/handoffs", ("answer", "handoffs")),
    ("GET", "/v1/handoffs", ("handoffs",)),
    ("*", "/v1/sources", ("knowledge",)),
    ("*", "/v1/syncs", ("knowledge",)),
    ("*", "/v1/documents", ("knowledge",)),
    ("*", "/v1/knowledge", ("knowledge",)),
)


def needs(method: str, path: str) -> tuple[str, ...] | None:
    """The scopes of which a caller needs one; None where anybody may."""
    if not path.startswith("/v1"):
        return None
    for verb, prefix, scopes in _NEEDS:
        start, _, end = prefix.partition("*")
        if verb in ("*", method) and path.startswith(start) and path.endswith(end):
            return scopes or None
    return ("admin",)


class Admission:
    """Lets a request in with its `Caller` in the scope, or refuses it at once.

    `key_needed`: also callers of this machine need a key (the server can be reached from others).
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyRing,
        limiter: Limiter,
        settings: Settings,
        key_needed: bool = False,
    ) -> None:
        self._app = app
        self._keys = keys
        self._limiter = limiter
        self._settings = settings
        self._key_needed = key_needed
        self._inside = {True: 0, False: 0}
        self._room = {True: settings.max_in_flight, False: OTHERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = needs(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if wanted is None:
            await self._app(scope, receive, send)
            return
        asking = scope["path"] in ASKING
        if self._inside[asking] >= self._room[asking]:
            busy = Overloaded("Too many requests are under way. Try again soon.", RETRY_AFTER_S)
            await _refuse(busy, scope, receive, send)
            return
        self._inside[asking] += 1
        try:
            try:
                scope[CALLER] = await self._admit(scope, wanted)
            except TwofoldError as error:
                await _refuse(error, scope, receive, send)
                return
            await self._app(scope, receive, send)
        finally:
            self._inside[asking] -= 1

    async def _admit(self, scope: Scope, wanted: Iterable[str]) -> Caller:
        plain = _key_of(Headers(scope=scope))
        if plain is None and (self._key_needed or not _local(scope)):
            raise Unauthorized("A key is needed here. Send it as Authorization: Bearer tf_….")
        caller = self._keys.known(plain)
        if caller is None:
            caller = await asyncio.to_thread(self._keys.look_up, plain)
        if not caller.may(wanted):
            raise Forbidden(f"This key lacks the scope {' or '.join(wanted)}.")
        await check_rate(self._limiter, caller, self._settings)
        return caller


def _key_of(headers: Headers) -> str | None:
    found = headers.get("authorization", "")
    kind, _, plain = found.partition(" ")
    if not found:
        return None
    if kind.lower() != "bearer":
        raise Unauthorized("Send the key as Authorization: Bearer tf_….")
    return plain.strip()


def _local(scope: Scope) -> bool:
    host = scope.get("client") and scope["client"][0]
    # A socket of this machine's file system has no address.
    return not host or host == "::1" or host.startswith(("127.", "::ffff:127."))


async def _refuse(error: TwofoldError, scope: Scope, receive: Receive, send: Send) -> None:
    metrics.ANSWER_REFUSED.labels(metrics.closed(error.slug, metrics.REFUSALS)).inc()
    headers: Mapping[str, str] = headers_of(error)
    await respond(problem_of(error, scope["path"]), headers)(scope, receive, send)
