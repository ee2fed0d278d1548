"""The page at `/`: a host page as a customer's could be, with the real widget in it."""

import asyncio
import html
import time
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any, Final, Literal
from uuid import uuid4

import jwt
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.answer.search.guard import detect_locale
from services.http.local import check_same_site, is_local
from services.widget import pages
from services.widget.site import SiteConfig
from services.widget.sites import Placed, read_config
from services.widget.tokens import ALGORITHM
from services.widget.widget import Widget
from twofold.errors import Conflict, Forbidden, NotFound
from twofold.policy import HousePolicy

AS: Final = ("anonymous", "customer", "internal")
COLLEAGUES: Final = ("customer", "internal", "engineer")
"""Audiences of a colleague, in the examples."""
STARTERS: Final = 4
STARTER_CHARS: Final = range(18, 64)
LOCALES: Final = ("en", "de", "fr", "es", "pt-BR", "it", "ja", "ar", "he")
MOST_ORIGINS: Final = 8
IDENTITY_S: Final = 300


def demo_router(widget: Widget, house: HousePolicy) -> APIRouter:
    """Returns the demo page, and the identities that a host would sign; for this machine alone."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page(request: Request) -> Response:
        _check_local(request)
        site = await asyncio.to_thread(demo_site, widget, house, _origin(request))
        told = {
            "site": site.id,
            "api": "/demo",
            "desk": "/desk" if widget.desk else None,
            "console": "/console",
            "company": house.company,
            "product": house.product,
            "as": AS,
        }
        tag = f'<script async src="/widget/loader.js?site={html.escape(site.id)}"></script>'
        return pages.shell("demo", house.company, house.locales[0], told, end=tag)

    @router.get("/demo/identity")
    async def identity(
        request: Request, who: Annotated[Literal["customer", "internal"], Query(alias="as")]
    ) -> dict[str, str]:
        _check_local(request)
        check_same_site(request.headers)
        site = await asyncio.to_thread(demo_site, widget, house, _origin(request))
        return {"identity": _identity(widget, site, who)}

    return router


def demo_site(widget: Widget, house: HousePolicy, origin: str) -> Placed:
    """Returns the demo's site, made at the first need, with `origin` among those that may embed
    it."""
    name = f"{house.company} demo"
    for _ in range(2):
        try:
            site = widget.sites.get(name)
            break
        except NotFound:
            try:
                site = widget.sites.add(_config(house, name, [origin]))
                break
            except Conflict:
                continue  # another request was quicker
    if site.config.allows(origin):
        return site
    origins = [*site.config.origins, origin][-MOST_ORIGINS:]
    return widget.sites.edit(site.id, {"origins": origins})


def starters(house: HousePolicy, locale: str) -> list[str]:
    """Returns a few well-formed plain questions of the house in `locale`."""
    return list(
        islice(
            (
                question
                for question in house.plain_examples
                if question[:1].isupper()
                and question.endswith("?")
                and len(question) in STARTER_CHARS
                and detect_locale(question, house.locales) == locale
            ),
            STARTERS,
        )
    )


def _config(house: HousePolicy, name: str, origins: Sequence[str]) -> SiteConfig:
    return read_config(
        {
            "name": name,
            "origins": list(origins),
            "locales": list(dict.fromkeys((*house.locales, *LOCALES))),
            "texts": {"en": {"title": f"{house.company} support"}},
            "starters": {locale: starters(house, locale) for locale in house.locales},
            "identity": {"mode": "optional", "audiences": list(COLLEAGUES)},
        }
    )


def _identity(widget: Widget, site: Placed, who: str) -> str:
    """Returns what a host's own server would sign for whoever is logged in there."""
    person: dict[str, Any] = {
        "customer": {"sub": "customer-4711", "name": "Mara Lind", "email": "mara@example.com"},
        "internal": {"sub": "staff-12", "name": "Jonas Weber", "email": "jonas@example.com"},
    }[who]
    audience = ["customer"] if who == "customer" else list(COLLEAGUES)
    claims = {
        **person,
        "aud": site.id,
        "exp": int(time.time()) + IDENTITY_S,
        "jti": str(uuid4()),
        "audience": audience,
    }
    return jwt.encode(claims, widget.tokens.identity_secret(site.id, site.generation), ALGORITHM)


def _origin(request: Request) -> str:
    return f"http://{request.headers.get('host', '')}"


def _check_local(request: Request) -> None:
    if not is_local(request.scope):
        raise Forbidden("The demo page is for this machine alone.")
