"""Spans of OpenTelemetry, exported by OTLP over HTTP. Its variables apply: https://opentelemetry.io/docs/specs/otel/configuration/"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.trace import Tracer

    from payment_service.telemetry import traces

_W3C: Final = TraceContextTextMapPropagator()
# The collector may be down, and the grace period of the process has passed.
CLOSE_S: Final = 2.0
_NS_PER_S: Final = 1_000_000_000


def open_exporter(version: str, deployment: str) -> Spans:
    """Export in the background, to OTEL_EXPORTER_OTLP_ENDPOINT."""
    provider = TracerProvider(
        shutdown_on_exit=False,  # `close` does it, within a limit
        resource=Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or "payment-service",
                "service.version": version,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
                "deployment.environment.name": deployment,
            }
        ),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider)


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self.span = span
        self.traceparent = _traceparent(span)

    def set(self, attributes: Mapping[str, str | int]) -> None:
        self.span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self.span.update_name(name)

    def fail(self, reason: str) -> None:
        self.span.set_status(Status(StatusCode.ERROR, reason))

    def end(self) -> None:
        self.span.end()


class Spans:
    """Makes spans by a provider of OpenTelemetry."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("payment_service")

    def begin(self, name: str, *, kind: str, parent: str | None) -> _Span:
        """Begin a span that the caller ends."""
        context = _context(parent) if parent else None
        return _Span(self._tracer.start_span(name, context=context, kind=SpanKind[kind.upper()]))

    @contextmanager
    def current(self, span: traces.Span) -> Iterator[None]:
        """Make a span current for a block, and end it. The text of an error may be secret, so only its class is exported."""
        assert isinstance(span, _Span)  # noqa: S101 - from `begin`
        with trace.use_span(span.span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                span.fail(type(error).__name__)
                raise

    def record(
        self,
        name: str,
        *,
        began_s: float,
        ended_s: float,
        kind: str,
        parent: str | None,
        links: Sequence[str],
        attributes: Mapping[str, str | int],
    ) -> None:
        """Export a span that has ended. Without a parent it begins a trace."""
        span = self._tracer.start_span(
            name,
            context=_context(parent) if parent else Context(),
            kind=SpanKind[kind.upper()],
            attributes=attributes,
            links=[Link(trace.get_current_span(_context(one)).get_span_context()) for one in links],
            start_time=int(began_s * _NS_PER_S),
        )
        span.end(int(max(began_s, ended_s) * _NS_PER_S))

    def current_traceparent(self) -> str | None:
        """Return the name of the current span."""
        span = trace.get_current_span()
        return _traceparent(span) if span.get_span_context().is_valid else None

    def close(self) -> None:
        """Export what is left, for at most CLOSE_S."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def _context(traceparent: str) -> Context:
    return _W3C.extract({"traceparent": traceparent}, Context())


def _traceparent(span: trace.Span) -> str:
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
