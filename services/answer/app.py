"""The answer service: its composition root, and its HTTP application."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from services.answer.crowd import Crowd
from services.answer.decide import Decider
from services.answer.endpoints import problems, routers
from services.answer.endpoints.gate import Gate, Shield
from services.answer.generate.ladder import open_ladder
from services.answer.pipeline import BUSY, Parts
from services.answer.rerank import open_reranker
from services.answer.schemas import Problem
from twofold.house import load_house
from twofold.settings import Settings
from twofold.stack import Stack

BYTES_PER_CHAR = 32
"""The costliest JSON spelling of a character is 12 bytes; the rest is room for a history."""


def open_parts(stack: Stack) -> Parts:
    """What answering needs, upon an open stack. Raises NotFound or InvalidInput on a bad house."""
    settings = stack.settings
    house = load_house(settings.house)
    decider = Decider(house, stack.embedder)
    return Parts(
        stack=stack,
        house=house,
        decider=decider,
        ladder=open_ladder(settings, house, decider),
        reranker=open_reranker(settings),
        searches=Crowd(settings.searches, settings.search_queue, BUSY),
    )


def max_body(settings: Settings) -> int:
    return max(settings.max_question_chars * BYTES_PER_CHAR, 64_000)


def create_app(parts: Parts) -> FastAPI:
    """The answer service alone."""
    app = bare_app(parts)
    protect(app, max_body(parts.stack.settings))
    return app


def protect(
    app: FastAPI,
    max_bytes: int,
    larger: Sequence[tuple[str, int]] = (),
    hosts: Sequence[str] = (),
) -> None:
    """The outer layers, as `Gate` describes them. Last of all: what is added later is outside."""
    app.add_middleware(Shield)
    app.add_middleware(Gate, max_bytes=max_bytes, larger=larger, hosts=hosts)


def bare_app(parts: Parts) -> FastAPI:
    """Endpoints and problem documents; `protect` is the caller's to add."""
    # FastAPI's own documentation pages load scripts from elsewhere; the document itself does not.
    app = FastAPI(
        title="Twofold",
        version=version("twofold"),
        summary="Ask a help center; get an answer with its sources, or a person.",
        docs_url=None,
        redoc_url=None,
        lifespan=_closing,
    )
    app.state.parts = parts
    problems.install(app)
    for router in routers:
        app.include_router(router)
    _describe_problems(app)
    return app


@asynccontextmanager
async def _closing(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await app.state.parts.aclose()


def _describe_problems(app: FastAPI) -> None:
    """Put the Problem schema where `problems.declare` points, in place of FastAPI's own."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        schemas = document["components"]["schemas"]
        if "Problem" not in schemas:
            described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(described.pop("$defs", {}))
            schemas["Problem"] = described
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
