"""Who is let in, pure ASGI, before a byte of a body is read: the key, its scope, its rate, room."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.answer.access.keys import KEY_NEEDED, NOT_OURS, SCOPES, Caller, KeyRing, is_ours
from services.answer.access.limits import Attempts, Limiter, check_rate
from services.http.boundary import WHO
from services.http.local import check_same_site, is_local
from services.http.origin import network
from services.http.problems import headers_of, problem_of, respond
from twofold import metrics
from twofold.errors import Forbidden, Overloaded, TwofoldError, Unauthorized
from twofold.settings import Settings

CALLER: Final = "twofold.caller"
"""Where in the ASGI scope the caller stands, once admitted."""

ASKING: Final = frozenset({"/v1/chat", "/v1/chat/completions", "/v1/search", "/v1/handoffs"})
"""Where somebody waits for work that takes long; everything else has its own, smaller room."""
OTHERS: Final = 64
RETRY_AFTER_S: Final = 1.0
SHARE: Final = 0.75
"""Of a room, for one key or address: the rest is for others."""
UNNAMED: Final = 8
"""Requests at once of one address that needs no key, for a hook that its signature opens."""

ASKED_FOR: Final = "those it may ask for"
HIDDEN: Final = "others are hidden"
OWN: Final = "of its key's name and its customer"
WHOLE: Final = "the whole workspace's"
SERVERS: Final = "the server's own workspace's"
NOT_SHOWN: Final = "nobody's"


class AccessRule(NamedTuple):
    """What opens an endpoint (`*` in `path` stands for an id; what follows it is open by the same
    rule), which audiences count there, and whose objects it shows and changes."""

    verb: str
    path: str
    scopes: tuple[str, ...]
    audience: str
    owner: str


# First match wins; a path under /v1 that is not here needs `admin`.
RULES: Final = tuple(AccessRule(*row) for row in (
    ("*", "/v1/hooks/", (), "signature", NOT_SHOWN),
    ("*", "/v1/chat", ("answer",), ASKED_FOR, OWN),
    ("GET", "/v1/models", ("answer",), "none", NOT_SHOWN),
    ("GET", "/v1/caller", SCOPES, "none", "the key itself"),
    ("GET", "/v1/answers/*/events", ("answer", "read"), HIDDEN, OWN),
    ("POST", "/v1/answers/*/stop", ("answer",), HIDDEN, OWN),
    ("GET", "/v1/answers", ("read",), HIDDEN, OWN),
    ("GET", "/v1/questions", ("read",), HIDDEN, OWN),
    ("GET", "/v1/approved-answers", ("read", "knowledge"), HIDDEN, SERVERS),
    ("*", "/v1/approved-answers", ("knowledge",), HIDDEN, SERVERS),
    ("GET", "/v1/conversations/", ("read",), HIDDEN, OWN),
    ("*", "/v1/search", ("search",), ASKED_FOR, NOT_SHOWN),
    ("GET", "/v1/feedback", ("read",), HIDDEN, OWN),
    ("*", "/v1/feedback", ("feedback",), HIDDEN, OWN),
    ("POST", "/v1/handoffs/*/close", ("handoffs",), HIDDEN, WHOLE),
    ("POST", "/v1/handoffs/*/reply", ("handoffs",), HIDDEN, WHOLE),
    ("POST", "/v1/handoffs", ("answer", "handoffs"), HIDDEN, OWN),
    ("GET", "/v1/handoffs", ("handoffs",), HIDDEN, WHOLE),
    ("*", "/v1/sources", ("knowledge",), "all", SERVERS),
    ("*", "/v1/syncs", ("knowledge",), "all", SERVERS),
    ("GET", "/v1/documents", ("read", "knowledge"), HIDDEN, SERVERS),
    ("*", "/v1/documents", ("knowledge",), "all", SERVERS),
    ("*", "/v1/knowledge", ("knowledge",), "all", SERVERS),
    ("*", "/v1/sites", ("admin",), "all", SERVERS),
))  # fmt: skip
ADMIN_RULE: Final = AccessRule("*", "/v1", ("admin",), "all", WHOLE)
_TOLD_HERE: Final = {"/metrics": ("metrics",), "/openapi.json": SCOPES}
"""Open to this machine; elsewhere a key with one of these scopes reads it."""

_WITHOUT_LEDGER: Final = frozenset({*_TOLD_HERE, "/v1/models", "/v1/caller"})
_READING: Final = frozenset({"/v1/search"})
"""Asked with a body, and written down nowhere."""


def needs(method: str, path: str) -> tuple[str, ...] | None:
    """Returns the scopes of which a caller needs one; empty where something other than a key
    opens the path, None where anybody may call it."""
    if path in _TOLD_HERE:
        return _TOLD_HERE[path]
    if not path.startswith("/v1"):
        return None
    return rule_of(method, path).scopes


def rule_of(method: str, path: str) -> AccessRule:
    """Returns the access rule of a path under `/v1`."""
    for rule in RULES:
        start, _, end = rule.path.partition("*")
        if rule.verb in ("*", method) and path.startswith(start) and path.endswith(end):
            return rule
    return ADMIN_RULE


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
        self._attempts = Attempts()
        self._inside = {True: 0, False: 0}
        self._room = {True: settings.max_in_flight, False: OTHERS}
        self._of: Counter[tuple[bool, str]] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = needs(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if wanted is None:
            await self._app(scope, receive, send)
            return
        asking = scope["path"] in ASKING
        if self._inside[asking] >= self._room[asking]:
            await _refuse(_busy(), scope, receive, send)
            return
        self._inside[asking] += 1
        try:
            try:
                most = await self._admit(scope, wanted, asking)
            except TwofoldError as error:
                await _refuse(error, scope, receive, send)
                return
            with self._counted((asking, scope[WHO])) as others:
                if others >= most:
                    await _refuse(_busy(), scope, receive, send)
                    return
                await self._app(scope, receive, send)
        finally:
            self._inside[asking] -= 1

    async def _admit(self, scope: Scope, wanted: Iterable[str], asking: bool) -> float:
        """Sets the caller in the scope and returns how many of its requests may run at once."""
        scope[WHO] = network(scope, self._settings.proxies)
        if not wanted:
            self._check_ledger(scope)
            return UNNAMED
        caller = await self._caller(scope)
        if not caller.may(wanted):
            raise Forbidden(f"This key lacks the scope {' or '.join(wanted)}.")
        await check_rate(self._limiter, caller, self._settings)
        self._check_ledger(scope)
        scope[CALLER] = caller
        if not caller.key:
            return self._room[asking]
        scope[WHO] = caller.key
        return max(1, SHARE * self._room[asking])

    def _check_ledger(self, scope: Scope) -> None:
        """Raises Unavailable at once where the request would only wait for a ledger that is known
        not to answer: what is asked must be recorded before it is told."""
        path = scope["path"]
        if path in _WITHOUT_LEDGER:
            return
        reading = path in _READING or scope["method"] in ("GET", "HEAD")
        self._keys.ledger.watch.check(writing=not reading)

    @contextmanager
    def _counted(self, who: tuple[bool, str]) -> Iterator[int]:
        """Counts the request while it runs; yields how many others of the same caller are
        inside."""
        others = self._of[who]
        self._of[who] += 1
        try:
            yield others
        finally:
            self._of[who] -= 1
            if not self._of[who]:
                del self._of[who]

    async def _caller(self, scope: Scope) -> Caller:
        inside: Caller | None = scope.get(CALLER)
        if inside is not None:
            return inside  # an application of this process: no network puts anything into a scope
        headers = Headers(scope=scope)
        plain = _key_of(headers)
        if plain is not None and is_ours(plain):
            return await self._known(plain, scope[WHO])
        # OpenAI's clients always send some key; where none is needed, a foreign one counts as none.
        refused = KEY_NEEDED if plain is None else NOT_OURS
        if self._key_needed or not is_local(scope):
            raise Unauthorized(refused)
        if scope["path"] in _TOLD_HERE:
            return Caller(self._settings.workspace)
        try:
            caller = await self._keys.find(None)
        except Unauthorized:
            raise Unauthorized(refused) from None
        check_same_site(headers)
        return caller

    async def _known(self, plain: str, address: str) -> Caller:
        wait = self._attempts.wait_s(address)
        if wait > 0 and not self._keys.seen_lately(plain):
            raise Overloaded("Too many unknown keys came from this address. Slow down.", wait)
        try:
            return await self._keys.find(plain)
        except Unauthorized:
            self._attempts.failed(address)
            raise


def _busy() -> Overloaded:
    return Overloaded("Too many requests are under way. Try again soon.", RETRY_AFTER_S)


def _key_of(headers: Headers) -> str | None:
    found = headers.get("authorization", "")
    kind, _, plain = found.partition(" ")
    if not found:
        return None
    if kind.lower() != "bearer":
        raise Unauthorized("Send the key as Authorization: Bearer tf_….")
    return plain.strip()


async def _refuse(error: TwofoldError, scope: Scope, receive: Receive, send: Send) -> None:
    metrics.ANSWER_REFUSED.labels(metrics.closed(error.slug, metrics.REFUSALS)).inc()
    headers: Mapping[str, str] = headers_of(error)
    await respond(problem_of(error, scope["path"]), headers)(scope, receive, send)
