"""Spans of model calls, by OpenTelemetry's conventions for generative AI.

They are still in development: their names stand here and nowhere else. Prompts and replies are
never captured.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind

from twofold import tracing

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
CONVERSATION: Final = "gen_ai.conversation.id"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"


class CompletionCounts(Protocol):
    """What a completion cost; `cut` says that it ended at its allowed length."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None
    first_token_s: float | None
    cut: bool


@contextmanager
def chat(model: str, url: str, max_tokens: int, counts: CompletionCounts) -> Iterator[Span]:
    """Opens a span for one request to a chat model at `url`; `counts` is read when it ends."""
    server = urlsplit(url)
    with tracing.span(f"chat {model}", SpanKind.CLIENT) as span:
        span.set_attributes(
            {OPERATION: "chat", PROVIDER: "vllm", MODEL: model, MAX_TOKENS: max_tokens,
             "server.address": server.hostname or "", "server.port": server.port or 0}
        )  # fmt: skip
        try:
            yield span
        finally:
            span.set_attributes(
                {INPUT_TOKENS: counts.prompt_tokens, OUTPUT_TOKENS: counts.completion_tokens}
            )
            if counts.cached_tokens is not None:
                span.set_attribute(CACHED_TOKENS, counts.cached_tokens)
            if counts.first_token_s is not None:
                span.set_attribute("twofold.first_token_s", counts.first_token_s)
                span.set_attribute(FINISH_REASONS, ["length" if counts.cut else "stop"])
