"""A span for each request: the root of its trace, or below the caller's where that is believed."""

from collections.abc import Callable
from typing import Final

from fastapi.telemetry import TelemetryConfig
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twofold import tracing

NOT_FASTAPIS: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own telemetry believes every caller's trace, and keeps paths, queries and the words of
exceptions, in which people's own words may stand."""
UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class Traced:
    """`trusts` says of a scope whether its `traceparent` counts: a stranger's would choose what is
    recorded. A span names the route, never the path: ids and words stand in that.
    """

    def __init__(self, app: ASGIApp, trusts: Callable[[Scope], bool]) -> None:
        self._app = app
        self._trusts = trusts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self._app(scope, receive, send)
            return
        parent = tracing.parent_of(Headers(scope=scope)) if self._trusts(scope) else Context()
        method = scope["method"]
        with tracing.current(method, parent, SpanKind.SERVER) as span:

            async def watch(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await self._app(scope, receive, watch)
            finally:
                span.set_attribute("http.request.method", method)
                if route := getattr(scope.get("route"), "path", ""):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
