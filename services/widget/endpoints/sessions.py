"""Sessions: begun, renewed, signed in, ended."""

import asyncio
import time

from fastapi import APIRouter

from services.http.problems import declare
from services.widget.endpoints.deps import SiteDep, VisitDep, WidgetDep, check_allowed
from services.widget.people import office_of
from services.widget.quota import quota_left, quota_of
from services.widget.schemas import (
    BeginRequest,
    IdentityRequest,
    LocaleRequest,
    OfficeOut,
    RenewRequest,
    SessionOut,
    VisitorOut,
)
from services.widget.sessions import Begun
from services.widget.sites import Placed
from services.widget.widget import Widget
from twofold import metrics

router = APIRouter(prefix="/widget/v1/{site}", tags=["widget"])


@router.post("/sessions", status_code=201, summary="Begin a session", responses=declare(404))
async def begin(body: BeginRequest, site: SiteDep, widget: WidgetDep) -> SessionOut:
    widget.tokens.check_ticket(body.ticket, site.id, body.origin)
    check_allowed(site, body.origin)
    begun = await asyncio.to_thread(
        widget.sessions.begin, site, body.origin, body.renewal, body.identity, body.locale
    )
    if not begun.resumed:
        metrics.WIDGET_SESSIONS.labels(_kind(begun)).inc()
    return await _out(widget, site, begun)


@router.post("/sessions/renew", summary="Go on with a session", responses=declare(404))
async def renew(body: RenewRequest, site: SiteDep, widget: WidgetDep) -> SessionOut:
    """The renewal is used up by it, and a new one comes back."""
    begun = await asyncio.to_thread(widget.sessions.renew, site, body.renewal)
    check_allowed(site, begun.origin)
    return await _out(widget, site, begun)


@router.post("/identity", summary="Sign a visitor in", responses=declare(404))
async def identify(body: IdentityRequest, here: VisitDep) -> SessionOut:
    widget, site = here.widget, here.site
    begun = await asyncio.to_thread(widget.sessions.identify, site, here.claims, body.identity)
    metrics.WIDGET_SESSIONS.labels(_kind(begun)).inc()
    return await _out(widget, site, begun)


@router.post("/locale", status_code=204, summary="Choose a language", responses=declare(404))
async def choose(body: LocaleRequest, here: VisitDep) -> None:
    await asyncio.to_thread(lambda: here.widget.sessions.note(here.visitor.id, locale=body.locale))


@router.delete("/session", status_code=204, summary="End a session", responses=declare(404))
async def end(here: VisitDep) -> None:
    await asyncio.to_thread(here.widget.sessions.end, here.claims)


async def _out(widget: Widget, site: Placed, begun: Begun) -> SessionOut:
    visitor = begun.visitor
    left = await asyncio.to_thread(quota_left, widget.ledger, quota_of(site, time.time()))
    thread = await asyncio.to_thread(widget.threads.current, visitor.id)
    unread = await asyncio.to_thread(widget.threads.unread, thread) if thread else 0
    return SessionOut(
        token=begun.token,
        expires_at=begun.expires_at,
        renewal=begun.renewal,
        renewal_until=begun.renewal_until,
        resumed=begun.resumed,
        visitor=VisitorOut(
            id=visitor.id,
            kind="identified" if visitor.customer else "anonymous",
            name=visitor.name or "",
            email=visitor.email or "",
        ),
        locale=visitor.locale if visitor.locale in site.config.locales else site.config.locale,
        consented=visitor.consented_at is not None,
        office=OfficeOut.of(office_of(site)),
        quota_left=left,
        unread=unread,
    )


def _kind(begun: Begun) -> str:
    return "identified" if begun.visitor.customer else "anonymous"
