"""The console's pages: live answers by layer and cause, one answer's record, and the sources."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import httpx
from fastapi import APIRouter, FastAPI, Query, Request
from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from starlette.responses import HTMLResponse, Response

from ingestion.lint import Finding, lint, read_source
from ingestion.sync.status import (
    NOTHING_INDEXED,
    SourceStatus,
    knowledge_status,
    nothing_indexed,
)
from models.diagnosis.gaps import gaps
from models.diagnosis.page.html import STYLE, STYLE_HASH, context, environment
from models.diagnosis.traffic import looked_into, traffic
from models.suite.client import AnswerClient
from services.answer.access.keys import Caller, KeyRing
from services.answer.endpoints.admission import CALLER
from services.answer.pipeline import Parts
from services.standalone.console.entry import ConsoleEntry, wanted
from services.standalone.inside import InsideTransport
from twofold.errors import (
    Forbidden,
    NotFound,
    Overloaded,
    TwofoldError,
    Unauthorized,
    UpstreamError,
)

HERE: Final = Path(__file__).parent
AFTER: Final = r"^[0-9a-f-]{0,36}$"
SINCE: Final = {"1d": 86_400.0, "7d": 604_800.0, "30d": 2_592_000.0}
LAST: Final = {"1d": "day", "7d": "7 days", "30d": "30 days"}
RECORDS: Final = "/console/answers/"
LINTED_S: Final = 300.0
"""How long what was found in the sources is shown before it is looked for again."""
MOST_FINDINGS: Final = 200
PAGE: Final = 50
"""Answers in a table."""
Since = Annotated[Literal["1d", "7d", "30d"], Query()]
HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'self';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with less, a form says no origin, and is refused
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def console_router(app: FastAPI, parts: Parts, *, key_needed: bool) -> APIRouter:
    """Returns pages under /console. What they show is asked of `app` with the rights of who
    looks."""
    settings = parts.stack.settings
    door = ConsoleEntry(KeyRing(parts.stack.ledger, settings.workspace), settings, key_needed)
    sources = _Sources(parts)
    router = APIRouter(prefix="/console", include_in_schema=False)

    @router.get("")
    async def overview(request: Request, since: Since = "7d") -> Response:
        async def show(caller: Caller) -> Response:
            now = time.time()
            async with _client(app, caller) as http:
                asked = await AnswerClient(http).questions(now - SINCE[since])
            found = traffic(asked, now)
            missing = await asyncio.to_thread(gaps, asked, parts.stack.embedder)
            empty = await asyncio.to_thread(nothing_indexed, parts.stack.ledger, settings.workspace)
            shown = context(found, missing, RECORDS)
            return _page(
                "overview.html.j2",
                empty=empty,
                nothing_indexed=NOTHING_INDEXED,
                **_table(asked[::-1][: PAGE + 1], since),
                **shown,
            )

        return await _seen(door, request, show)

    @router.get("/answers")
    async def answers(
        request: Request,
        since: Since = "7d",
        until: Annotated[float | None, Query(ge=0)] = None,
        after: Annotated[str, Query(pattern=AFTER)] = "",
        rating: Literal["up", "down"] | None = None,
    ) -> Response:
        async def show(caller: Caller) -> Response:
            async with _client(app, caller) as http:
                found = await AnswerClient(http).latest(
                    time.time() - SINCE[since], PAGE + 1, until, after, rating
                )
            return _page(
                "answers.html.j2",
                first=not after,
                records=RECORDS,
                **_table(found, since, rating),
                **_bare(),
            )

        return await _seen(door, request, show)

    @router.get("/answers/{answer_id}")
    async def answer(request: Request, answer_id: str) -> Response:
        async def show(caller: Caller) -> Response:
            async with _client(app, caller) as http:
                client = AnswerClient(http)
                try:
                    record = await client.record(answer_id)
                    packed = await client.packed(answer_id)
                except UpstreamError:
                    raise NotFound("There is no such answer, or not for this key.") from None
            return _page("answer.html.j2", r=record, passages=_passages(packed), **_bare())

        return await _seen(door, request, show)

    @router.get("/sources")
    async def knowledge(request: Request) -> Response:
        async def show(caller: Caller) -> Response:
            # As at /v1/sources: findings quote pages of every audience.
            if not caller.may(("knowledge",)):
                raise Forbidden("This key lacks the scope knowledge, which the sources need.")
            found = await asyncio.to_thread(sources.look)
            return _page(
                "sources.html.j2",
                **found,
                now=time.time(),
                nothing_indexed=NOTHING_INDEXED,
                **_bare(),
            )

        return await _seen(door, request, show)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        try:
            return await door.sign_in(request)
        except TwofoldError as error:
            return _sign_in(error, wanted(await request.body()))

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        return await door.sign_out(request)

    return router


class _Sources:
    """Freshness from the ledger, findings from the pages as they were read; kept a while."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._kept: tuple[float, dict[str, Any]] = (-LINTED_S, {})

    def look(self) -> dict[str, Any]:
        at, found = self._kept
        if time.monotonic() - at < LINTED_S:
            return found
        stack = self._parts.stack
        status = knowledge_status(stack.ledger, stack.settings.workspace)
        findings = [each for source in status.sources for each in self._lint(source)]
        found = {
            "known": status,
            "findings": [f for f in findings if f.severity != "info"][:MOST_FINDINGS],
            "more": max(0, len(findings) - MOST_FINDINGS),
        }
        self._kept = time.monotonic(), found
        return found

    def _lint(self, source: SourceStatus) -> list[Finding]:
        stack = self._parts.stack
        read = read_source(stack.ledger, stack.settings.workspace, source.name, source.config)
        # Without the embedder: a page is opened for its freshness, and must not cost minutes.
        return [*read.failures, *lint(read.pages, time.time())]


async def _seen(door: ConsoleEntry, request: Request, show: Any) -> Response:
    try:
        made: Response = await show(await door.caller(request))
    except (Unauthorized, Forbidden, Overloaded) as error:
        return _sign_in(error, request.url.path + f"?{request.url.query}" * bool(request.url.query))
    except NotFound as error:
        return _page("said.html.j2", 404, said=error.message, **_bare())
    return made


def _sign_in(error: TwofoldError, going_to: str) -> Response:
    said = error.message
    return _page("sign_in.html.j2", error.status, said=said, going_to=going_to, **_bare())


def _client(app: FastAPI, caller: Caller) -> httpx.AsyncClient:
    transport = InsideTransport(app, {CALLER: caller})
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def _page(name: str, status: int = 200, **shown: Any) -> Response:
    page = _TEMPLATES.get_template(name).render(**shown)
    return HTMLResponse(page, status, headers=HEADERS)


def _bare() -> dict[str, Any]:
    """Returns what the frame needs of a page that shows no diagnosis."""
    return {"style": STYLE, "style_hash": STYLE_HASH}


def _table(
    answers: Sequence[Mapping[str, Any]], since: str, rating: str | None = None
) -> dict[str, Any]:
    """Returns what the table shows of answers, newest first; one beyond PAGE says that there are
    more.

    The address of the older ones names the last that is shown, so that it shows the same to whom it
    is sent, whatever was asked since.
    """
    older, shown = "", answers[:PAGE]
    if len(answers) > PAGE:
        last = shown[-1]
        at = {"since": since, "until": last["created_at"], "after": last["answer"]["answer_id"]}
        older = f"/console/answers?{urlencode(at | ({'rating': rating} if rating else {}))}"
    told = {"since": since, "spans": LAST, "rating": rating, "found": _found}
    return {"answers": shown, "older": older, **told}


def _found(asked: Mapping[str, Any]) -> str:
    """Returns what is known of an answer, in a word or two."""
    if not looked_into(asked):
        return "not looked into"
    verdict = asked["diagnosed"]["verdict"]
    return str(verdict["cause"]).replace("_", " ") if verdict else "sound"


def _passages(packed: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns what an answer was made from, by chunk, as far as it is still there."""
    return {
        each["chunk"]: {**each, "heading": " > ".join([each["title"], *each["heading_path"]])}
        for each in packed["passages"]
    }


def _templates() -> Environment:
    page = environment()
    loader = ChoiceLoader([FileSystemLoader([HERE]), page.loader]) if page.loader else None
    return page.overlay(loader=loader)


_TEMPLATES: Final = _templates()
