"""Traces: off until `trace_url` says where they go. Nothing that people wrote is ever in them.

OpenTelemetry's API is always there. Without an SDK behind it nothing is recorded, and the trace of
a caller is still handed on to the model server and to jobs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from twofold.errors import SetupError, TwofoldError
from twofold.settings import Settings

TRACEPARENT: Final = "traceparent"
"""W3C's header; also what a job keeps of the request that asked for it."""

tracer: Final = trace.get_tracer("twofold")
_wire: Final = TraceContextTextMapPropagator()


def configure(settings: Settings, service: str) -> None:
    """Sends this process's spans to `trace_url`, if there is one. Raises SetupError where the
    SDK is not installed."""
    if not settings.trace_url:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ModuleNotFoundError as error:
        raise SetupError(
            "TWOFOLD_TRACE_URL is set, and OpenTelemetry's SDK is not installed: pip install"
            " 'twofold[tracing]', or unset it."
        ) from error
    said = {"service.namespace": "twofold", "service.name": service}
    provider = TracerProvider(
        resource=Resource.create({**said, "service.version": version("twofold")}),
        sampler=ParentBasedTraceIdRatio(settings.trace_share),
    )
    endpoint = f"{settings.trace_url.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Sends what waits: for processes that end without being asked, as a pool's do."""
    if flushes := getattr(trace.get_tracer_provider(), "force_flush", None):
        flushes()


def parent_of(carrier: Mapping[str, str]) -> Context:
    """Returns the trace that `carrier` names, or none: what it says is W3C's `traceparent`."""
    named = {TRACEPARENT: carrier[TRACEPARENT]} if TRACEPARENT in carrier else {}
    return _wire.extract(named, Context())


def carried(span: Span | None = None) -> dict[str, str]:
    """Returns what names `span`, or else the one under way, to whoever goes on with it; empty
    for none."""
    carrier: dict[str, str] = {}
    _wire.inject(carrier, None if span is None else trace.set_span_in_context(span))
    return {key: value for key, value in carrier.items() if key == TRACEPARENT}


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int) -> Iterator[Span]:
    """Opens a span below the current one, which stays that: so it may be open across a `yield`."""
    made = tracer.start_span(name, kind=kind, attributes=attributes)
    try:
        yield made
    except Exception as error:
        failed(made, error)
        raise
    finally:
        made.end()


@contextmanager
def current(name: str, parent: Context, kind: SpanKind) -> Iterator[Span]:
    """Opens a span below `parent` and makes it the current one of this task or thread."""
    with tracer.start_as_current_span(
        # An exception's own words may quote a question.
        name, parent, kind, record_exception=False, set_status_on_exception=False
    ) as made:  # fmt: skip
        try:
            yield made
        except Exception as error:
            failed(made, error)
            raise


def failed(span: Span, error: Exception) -> None:
    """Says which kind of error ended it, and none of its words."""
    slug = error.slug if isinstance(error, TwofoldError) else type(error).__qualname__
    span.set_attribute("error.type", slug)
    span.set_status(StatusCode.ERROR)
