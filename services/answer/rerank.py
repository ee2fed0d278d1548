"""After retrieval, where a reranker is set: the candidates in the order that it sees."""

import time
from dataclasses import replace

import structlog

from services.answer.contract import Found
from twofold.clients.rerank import HttpReranker, Reranker
from twofold.errors import TwofoldError
from twofold.settings import Settings

_log = structlog.get_logger("twofold.rerank")


def open_reranker(settings: Settings) -> Reranker | None:
    if not settings.reranker_url:
        return None
    key = settings.reranker_key.get_secret_value()
    return HttpReranker(settings.reranker_url.rstrip("/"), settings.reranker_model, key)


async def rerank(question: str, found: Found, reranker: Reranker, seconds: float) -> Found:
    """The same candidates, best first by the reranker; in the fused order where it fails."""
    texts = [candidate.chunk.embedded_text for candidate in found.candidates]
    if len(texts) < 2:
        return found
    try:
        scores = await reranker.scores(question, texts, deadline=time.monotonic() + seconds)
    except TwofoldError as error:
        _log.warning("kept the fused order", problem=error.slug)
        return found
    scored = [replace(c, score=score) for c, score in zip(found.candidates, scores, strict=True)]
    scored.sort(key=lambda candidate: (-candidate.score, candidate.chunk.id))
    return replace(found, candidates=tuple(scored))
