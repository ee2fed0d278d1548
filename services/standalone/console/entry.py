"""Who may see the console: a key with the scope `read`, or this machine where no key was made."""

from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.answer.access.keys import Caller, KeyRing, is_ours
from services.answer.access.limits import Attempts
from services.http.local import check_same_site, is_local
from services.http.origin import network
from twofold.errors import Forbidden, NotFound, Overloaded, Unauthorized
from twofold.settings import Settings

COOKIE: Final = "twofold_console"
LASTS_S: Final = 8 * 3600
SCOPES: Final = ("read",)
MOST_BYTES: Final = 2000
"""Of what is sent to sign in."""


class ConsoleEntry:
    """`key_needed`: also callers of this machine need a key."""

    def __init__(self, keys: KeyRing, settings: Settings, key_needed: bool) -> None:
        self._keys = keys
        self._workspace = settings.workspace
        self._proxies = settings.proxies
        self._key_needed = key_needed
        self._attempts = Attempts()

    async def caller(self, request: Request) -> Caller:
        """Raises Unauthorized where nobody is signed in, Forbidden where the key may not read."""
        plain = _shown(request)
        if plain is not None:
            return await self._known(request, plain)
        if self._key_needed or not is_local(request.scope):
            raise Unauthorized("Sign in with a key that has the scope read.")
        return await self._keys.find(None)

    async def sign_in(self, request: Request) -> Response:
        """Turns a form with a key into a cookie that only this browser's visits to /console
        carry, and leads to the page that was wanted."""
        check_same_site(request.headers)
        body = await request.body()
        if len(body) > MOST_BYTES:
            raise Unauthorized("That is no key.")
        plain = _field(body, "key").strip()
        await self._known(request, plain)
        response = RedirectResponse(wanted(body), 303)
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(
            COOKIE, plain, max_age=LASTS_S, path="/console", secure=secure, httponly=True,
            samesite="strict",
        )  # fmt: skip
        return response

    async def sign_out(self, request: Request) -> Response:
        check_same_site(request.headers)
        response = RedirectResponse("/console", 303)
        response.delete_cookie(COOKIE, path="/console")
        return response

    async def _known(self, request: Request, plain: str) -> Caller:
        address = network(request.scope, self._proxies)
        wait = self._attempts.wait_s(address)
        if wait > 0 and not self._keys.seen_lately(plain):
            raise Overloaded("Too many unknown keys came from this address. Slow down.", wait)
        try:
            if not is_ours(plain):
                raise Unauthorized("That is not one of our keys: they begin with tf_.")
            caller = await self._keys.find(plain)
        except Unauthorized:
            self._attempts.failed(address)
            raise
        if not caller.may(SCOPES):
            raise Forbidden("This key lacks the scope read.")
        if caller.workspace != self._workspace:
            raise NotFound(f"Workspace {caller.workspace!r} is not kept here.")
        return caller


def wanted(form: bytes) -> str:
    """Returns the page of the console that who signs in was going to."""
    page = _field(form, "going_to")
    return page if page.startswith(("/console/", "/console?")) else "/console"


def _field(form: bytes, name: str) -> str:
    return parse_qs(form[:MOST_BYTES].decode("utf-8", "replace")).get(name, [""])[0]


def _shown(request: Request) -> str | None:
    kind, _, plain = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return plain.strip()
    return request.cookies.get(COOKIE)
