"""What every endpoint is handed: the widget, the site, and a visitor who proved to be one."""

import asyncio
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from fastapi import Depends, Request

from services.http.origin import network
from services.widget.errors import IdentityNeeded
from services.widget.sites import Placed
from services.widget.tokens import Claims
from services.widget.widget import Widget
from twofold.errors import Forbidden, NotFound, Unauthorized
from twofold.ledger.widget import Thread, Visitor

WEBVIEW = "webview"
"""Stands for the origin of a frame that an app opened by itself."""


class Visit(NamedTuple):
    """A request of a visitor: the token, the site and the origin fit together."""

    widget: Widget
    site: Placed
    claims: Claims
    visitor: Visitor

    @property
    def audience(self) -> list[str]:
        """What the visitor was signed in as, as far as the site still hands it out."""
        identity = self.site.config.identity
        handed_out = () if identity.mode == "none" else identity.audiences
        return [each for each in self.visitor.audience if each in handed_out]

    async def thread(self) -> Thread:
        """Returns the visitor's thread. Raises NotFound where there is none yet."""
        found = await asyncio.to_thread(self.widget.threads.current, self.visitor.id)
        if found is None:
            raise NotFound("Nothing was said yet.")
        return found


async def widget_of(request: Request) -> Widget:
    widget: Widget = request.app.state.widget
    return widget


async def site_of(site: str, request: Request) -> Placed:
    """Returns the site of the path, with its address and its own rate counted. Raises NotFound."""
    widget = await widget_of(request)
    await widget.rates.check("address", network(request.scope, widget.settings.proxies))
    widget.ledger.watch.check(writing=request.method != "GET")
    placed = await widget.site(site)
    await widget.rates.check("site", placed.id)
    check_browser(request)
    return placed


async def visit(request: Request, site: "SiteDep") -> Visit:
    """Raises Unauthorized (TokenExpired where renewing helps), or Forbidden."""
    widget = await widget_of(request)
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Unauthorized("A session's token is needed here.")
    origin = request.headers.get("twofold-origin", "")
    claims = widget.tokens.check_token(token.strip(), site.id, origin)
    check_allowed(site, origin)
    await widget.rates.check("visitor", claims.visitor)
    visitor = await asyncio.to_thread(widget.sessions.visitor, claims)
    if visitor.customer is None and site.config.identity.mode == "required":
        raise IdentityNeeded("Sign in on this site to use the chat.")
    return Visit(widget, site, claims, visitor)


def check_allowed(site: Placed, origin: str) -> None:
    """Raises Forbidden where the site lets no page of `origin` embed it, now."""
    if site.config.webview if origin == WEBVIEW else site.config.allows(origin):
        return
    raise Forbidden(f"This chat is not set up for {origin or 'an unknown page'}.")


def check_browser(request: Request) -> None:
    """Raises Forbidden where a browser says that a page of another origin asks: the frame asks its
    own. It is one more look; nobody is let in because of it."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Forbidden("Other pages may not ask here: the chat's own frame does.")


WidgetDep = Annotated[Widget, Depends(widget_of)]
SiteDep = Annotated[Placed, Depends(site_of)]
VisitDep = Annotated[Visit, Depends(visit)]
