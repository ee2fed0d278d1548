"""The answer service: its composition root, and its HTTP application."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from services.answer.crowd import Crowd
from services.answer.decide import Decider
from services.answer.endpoints import problems, routers
from services.answer.endpoints.admission import Admission
from services.answer.endpoints.gate import Gate, Shield
from services.answer.endpoints.runs import Runs
from services.answer.generate.ladder import open_ladder
from services.answer.housekeeping import behind_the_scenes
from services.answer.keys import KeyRing
from services.answer.limits import open_limiter
from services.answer.openai_schemas import OpenAIError
from services.answer.pipeline import BUSY, Parts
from services.answer.rerank import open_reranker
from services.answer.schemas import Problem
from twofold.house import load_house
from twofold.stack import Stack


def open_parts(stack: Stack) -> Parts:
    """What answering needs, upon an open stack. Raises NotFound or InvalidInput on a bad house."""
    settings = stack.settings
    house = load_house(settings.house)
    decider = Decider(house, stack.embedder)
    return Parts(
        stack=stack,
        house=house,
        decider=decider,
        ladder=open_ladder(stack, house, decider),
        reranker=open_reranker(settings),
        searches=Crowd(settings.searches, settings.search_queue, BUSY),
        searchers=ThreadPoolExecutor(settings.searches, "search"),
    )


def create_app(parts: Parts) -> FastAPI:
    """The answer service alone."""
    app = bare_app(parts)
    protect(app, parts.stack)
    return app


def protect(
    app: FastAPI,
    stack: Stack,
    larger: Sequence[tuple[str, int]] = (),
    hosts: Sequence[str] = (),
    key_needed: bool = False,
) -> None:
    """The outer layers, as `Admission` and `Gate` describe them: a caller is known before a byte
    of what it sends is read. Last of all: what is added later is outside.
    """
    settings = stack.settings
    most = settings.max_request_kb * 1000
    app.add_middleware(Gate, max_bytes=most, larger=larger, hosts=hosts)
    app.add_middleware(
        Admission,
        keys=KeyRing(stack.ledger, settings.workspace),
        limiter=open_limiter(settings),
        settings=settings,
        key_needed=key_needed,
    )
    app.add_middleware(Shield)


def bare_app(parts: Parts) -> FastAPI:
    """Endpoints and problem documents; `protect` is the caller's to add."""
    # FastAPI's own documentation pages load scripts from elsewhere; the document itself does not.
    app = FastAPI(
        title="Twofold",
        version=version("twofold"),
        summary="Ask a help center; get an answer with its sources, or a person.",
        docs_url=None,
        redoc_url=None,
        lifespan=_open,
    )
    app.state.parts = parts
    app.state.runs = Runs(parts)
    problems.install(app)
    for router in routers:
        app.include_router(router)
    _describe_problems(app)
    return app


@asynccontextmanager
async def _open(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    with behind_the_scenes(parts):
        try:
            yield
        finally:
            await app.state.runs.aclose()
            await parts.aclose()


def _describe_problems(app: FastAPI) -> None:
    """Put the Problem schema where `problems.declare` points, in place of FastAPI's own."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        schemas = document["components"]["schemas"]
        for model in (Problem, OpenAIError):
            if model.__name__ not in schemas:
                described = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(described.pop("$defs", {}))
                schemas[model.__name__] = described
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
