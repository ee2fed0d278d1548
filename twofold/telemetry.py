"""Structured logs that hold neither what people wrote nor a secret."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace

UNLOGGED = frozenset(
    {"answer_text", "api_key", "authorization", "body", "comment", "cookie", "history", "message"}
    | {"packet", "password", "prompt", "question", "quote", "secret", "standalone", "text", "token"}
)
"""Keys whose value never reaches a log line, whoever binds them."""
WITHHELD = "[withheld]"
FRAMES = 12


def configure(json: bool | None = None, level: int = logging.INFO) -> None:
    """Logs to stderr: JSON lines, or readable lines where a person watches (the default
    decides)."""
    json = not sys.stderr.isatty() if json is None else json
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            name_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            withhold,
            describe_error,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Looks stderr up at each line, since it may be replaced.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def name_trace(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    """Adds the current trace's id to a log event."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def withhold(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    for key in event.keys() & UNLOGGED:
        event[key] = WITHHELD
    return event


def describe_error(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
    """Returns `exc_info` becomes types and places.

    An exception's own words may quote a question or a statement's parameters, so they stay out.
    """
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["error"] = " < ".join(type(each).__qualname__ for each in _chain(error))
        event["where"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-FRAMES:]
        ]
    return event


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
