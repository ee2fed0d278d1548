"""Rerank: sorts the retrieved candidates by a cross-encoder's scores, where one is set."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from services.answer.contract import Found
from twofold.clients.rerank import HttpReranker, OnnxReranker, Reranker
from twofold.errors import SetupError, TwofoldError
from twofold.settings import Settings

Rerank = Callable[[str, Found], Found]
"""(question, found) -> the same candidates, in the order that a reranker sees. Never raises."""

_log = structlog.get_logger("twofold.rerank")


def open_reranker(settings: Settings) -> Reranker | None:
    """Raises SetupError where both are set, or the folder holds no cross-encoder."""
    if settings.reranker_url and settings.reranker_folder:
        raise SetupError(
            "TWOFOLD_RERANKER_URL and TWOFOLD_RERANKER_FOLDER are both set. Keep one of them."
        )
    if settings.reranker_folder:
        return OnnxReranker.open(settings.reranker_folder, settings.threads)
    if not settings.reranker_url:
        return None
    key = settings.reranker_key.get_secret_value()
    return HttpReranker(settings.reranker_url.rstrip("/"), settings.reranker_model, key)


def as_stage(reranker: Reranker, seconds: Callable[[], float]) -> Rerank:
    """Returns the reranker as a stage of a search that runs in a thread: its calls are made on
    the event loop that runs here, each with so many `seconds`."""
    loop = asyncio.get_running_loop()

    def ranked(question: str, found: Found) -> Found:
        call = rerank(question, found, reranker, seconds())
        return asyncio.run_coroutine_threadsafe(call, loop).result()

    return ranked


async def rerank(question: str, found: Found, reranker: Reranker, seconds: float) -> Found:
    """Returns the same candidates, best first by the reranker; in the fused order where it fails.

    What retrieval knows beside the words (language, the rule of the day, age) is added again.
    """
    texts = [candidate.chunk.embedded_text for candidate in found.candidates]
    if len(texts) < 2:
        return found
    try:
        scores = await reranker.scores(question, texts, deadline=time.monotonic() + seconds)
    except TwofoldError as error:
        _log.warning("kept the fused order", problem=error.slug)
        return found
    scored = [
        replace(c, score=score + c.score - c.fused)
        for c, score in zip(found.candidates, scores, strict=True)
    ]
    scored.sort(key=lambda candidate: (-candidate.score, candidate.chunk.id))
    return replace(found, candidates=tuple(scored))
