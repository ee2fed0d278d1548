"""Pages and files that browsers load: the loader, the frame, the desk, and their parts."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.http.origin import network
from services.widget import pages
from services.widget.endpoints.deps import WEBVIEW, WidgetDep, check_allowed
from twofold.errors import Forbidden, NotFound, TwofoldError

router = APIRouter(include_in_schema=False)


@router.get("/widget/loader.js")
async def loader(request: Request, widget: WidgetDep, site: str = "") -> Response:
    """The one request of a page before its visitor opens the chat."""
    await widget.rates.check("address", network(request.scope, widget.settings.proxies))
    try:
        placed = await widget.site(site)
    except NotFound:
        return pages.no_loader(site)
    config = placed.config.public(placed.id, widget.settings.max_question_chars)
    return pages.loader(config, request.headers.get("if-none-match", ""))


@router.get("/widget/app/{site}")
async def app(
    request: Request,
    widget: WidgetDep,
    site: str,
    origin: str = "",
    mode: Annotated[str, Query(pattern="^(webview)?$")] = "",
) -> Response:
    """The chat itself, for a frame inside a page of `origin`, or for an app's web view."""
    await widget.rates.check("address", network(request.scope, widget.settings.proxies))
    try:
        placed = await widget.site(site)
        origin = WEBVIEW if mode else origin
        check_allowed(placed, origin)
        if not mode:
            _check_around(request, origin)
    except TwofoldError as error:
        return pages.refused(error)
    config = placed.config.public(placed.id, widget.settings.max_question_chars)
    shell = {
        "config": config,
        "ticket": widget.tokens.ticket(placed.id, origin),
        "origin": origin,
        "api": f"/widget/v1/{placed.id}",
    }
    around = () if mode else tuple(placed.config.origins)
    return pages.shell("app", config["name"], config["locale"], shell, around, _logo(config))


@router.get("/widget/assets/{name}")
async def asset(name: str) -> Response:
    return pages.asset(name)


@router.get("/desk")
async def desk(widget: WidgetDep) -> Response:
    if not widget.desk:
        raise NotFound("There is no desk here. Set TWOFOLD_DESK=true to serve it.")
    return pages.shell("desk", "Desk", "en", {"api": "/desk/v1"})


def _check_around(request: Request, origin: str) -> None:
    """Raises where the browser names another page around the widget than the page itself said."""
    referer = urlsplit(request.headers.get("referer", ""))
    if referer.netloc in ("", request.headers.get("host", "")):
        return
    if f"{referer.scheme}://{referer.netloc}" != origin:
        raise Forbidden(f"This chat was asked for by another page than {origin}.")


def _logo(config: dict[str, Any]) -> str:
    return str(config["theme"]["logo"])
