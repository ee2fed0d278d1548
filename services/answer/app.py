"""The answer service: its composition root, and its HTTP application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.answer.access.bulkhead import Bulkhead
from services.answer.access.keys import SCOPES, Caller, KeyRing
from services.answer.access.limits import open_limiter
from services.answer.approved.same import reader
from services.answer.approved.serve import ApprovedAnswers
from services.answer.contract import Ask
from services.answer.decide.decider import Decider
from services.answer.endpoints import routers
from services.answer.endpoints.admission import CALLER, Admission, needs
from services.answer.endpoints.health import Readiness
from services.answer.endpoints.openai_schemas import OpenAIError
from services.answer.endpoints.runs import ResumableAnswers
from services.answer.generate.ladder import open_ladder
from services.answer.housekeeping import behind_the_scenes
from services.answer.pipeline import BUSY, Parts, find
from services.answer.search.rerank import open_reranker
from services.http import problems
from services.http.boundary import ErrorBoundary, RequestLimits, Screen
from services.http.described import describe
from services.http.problems import Problem
from services.http.traced import NOT_FASTAPIS, Traced
from twofold import metrics
from twofold.clients.embedder import CachingEmbedder
from twofold.house_file import load_house
from twofold.stack import Stack

WARM_S = 10.0
"""A server starts after so long, even if its first search has not ended."""

_log = structlog.get_logger("twofold.app")


def open_parts(stack: Stack) -> Parts:
    """Returns what answering needs, built upon an open stack. Raises NotFound or InvalidInput on
    a bad house."""
    settings = stack.settings
    stack = replace(stack, embedder=CachingEmbedder(stack.embedder))
    house = load_house(settings.house_file)
    decider = Decider(house, stack.embedder)
    for reason in house.reasons:
        metrics.BEHAVIOUR_ESCALATIONS.labels(reason)  # there before the first of them
    return Parts(
        stack=stack,
        house=house,
        decider=decider,
        ladder=open_ladder(stack, house, decider),
        approved=ApprovedAnswers(stack, reader(house.synonyms)),
        reranker=open_reranker(settings),
        searches=Bulkhead(settings.searches, settings.search_queue, BUSY),
        searchers=ThreadPoolExecutor(settings.searches, "search"),
    )


def create_app(parts: Parts) -> FastAPI:
    """Returns the answer service as an app of its own."""
    app = bare_app(parts)
    protect(app, parts.stack)
    return app


def protect(
    app: FastAPI,
    stack: Stack,
    larger: Sequence[tuple[str, int]] = (),
    hosts: Sequence[str] = (),
    key_needed: bool = False,
    screens: Sequence[tuple[str, Screen]] = (),
) -> None:
    """Adds the outer layers, as `Admission` and `RequestLimits` describe them: a caller is known
    before a byte of the body is read. Call it last: what is added later stands outside."""
    settings = stack.settings
    most = settings.max_request_kb * 1000
    app.add_middleware(Traced, trusts=lambda scope: CALLER in scope)
    app.add_middleware(
        RequestLimits,
        max_bytes=most,
        larger=larger,
        hosts=hosts,
        screens=screens,
        proxies=settings.proxies,
    )
    app.add_middleware(
        Admission,
        keys=KeyRing(stack.ledger, settings.workspace),
        limiter=open_limiter(settings),
        settings=settings,
        key_needed=key_needed,
    )
    app.add_middleware(ErrorBoundary)


def bare_app(parts: Parts) -> FastAPI:
    """Endpoints and problem documents; `protect` is the caller's to add."""
    # FastAPI's own documentation pages load scripts from elsewhere; the document itself does not.
    app = FastAPI(
        title="Twofold",
        version=version("twofold"),
        summary="Ask a help center; get an answer with its sources, or a person.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_open,
        telemetry=NOT_FASTAPIS,
    )
    app.state.parts = parts
    app.state.runs = ResumableAnswers(parts)
    app.state.readiness = Readiness(parts)
    problems.install(app)
    for router in routers:
        app.include_router(router)
    _describe_problems(app)
    return app


def admitting(app: ASGIApp, workspace: str) -> ASGIApp:
    """Returns the app for this process's own calls: they need no key, whatever keys there are."""

    async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, CALLER: Caller(workspace)}, receive, send)

    return admitted


async def warm(parts: Parts) -> None:
    """Searches once, so that nobody's question waits for weights to be read. Without a search the
    server serves as well: it hands over."""
    asked = next(iter(parts.house.plain_examples), parts.house.scope)
    try:
        async with asyncio.timeout(WARM_S):
            await find(Ask(asked, workspace=parts.stack.settings.workspace), parts)
    except Exception as error:
        _log.warning("the first search failed", error=type(error).__name__)


@asynccontextmanager
async def _open(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    with behind_the_scenes(parts):
        await warm(parts)
        watching = asyncio.create_task(parts.flights.watch(parts.stack.ledger, parts.writers))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await app.state.runs.aclose()
            await parts.aclose()


def _describe_problems(app: FastAPI) -> None:
    """Puts the Problem schema where `problems.declare` points, in place of FastAPI's own."""
    generate = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for model in (Problem, OpenAIError):
            if model.__name__ not in schemas:
                described = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(described.pop("$defs", {}))
                schemas[model.__name__] = described
        describe(document)
        _describe_keys(document)
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    # Not a FastAPI endpoint: its caches would keep it alive, and with it the whole app.
    app.add_route("/openapi.json", _told_once(openapi), include_in_schema=False)


def _told_once(openapi: Callable[[], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
    """Keeps the OpenAPI document as bytes: making it takes milliseconds of the loop that all
    requests share."""

    @cache
    def encoded() -> bytes:
        return orjson.dumps(openapi())

    async def tell(request: Request) -> Response:
        del request
        return Response(encoded(), media_type="application/json")

    return tell


def _describe_keys(document: dict[str, Any]) -> None:
    """Adds to each operation's schema which scopes open it."""
    document["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of `twofold key create`, with one of the operation's scopes. A"
            " server that never had a key takes requests of its own machine without one.",
        }
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scopes = needs(method.upper(), path)
            operation["security"] = [{"key": list(scopes)}] if scopes else []
            if scopes and set(scopes) < set(SCOPES):
                said = operation.get("description", "")
                needed = " or ".join(f"`{scope}`" for scope in scopes)
                operation["description"] = f"{said}\n\nNeeds the scope {needed}.".strip()
