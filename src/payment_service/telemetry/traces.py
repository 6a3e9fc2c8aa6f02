"""Traces: what a request or a step of a payment took, in one tree from the order to its last event.

They are off until `configure` finds an endpoint of OpenTelemetry (OTEL_EXPORTER_OTLP_ENDPOINT), and cost a comparison then. Only
`telemetry/exported_spans.py` imports OpenTelemetry. A trace crosses processes in a column: `payments.traceparent`, from the order's
record or from the first step. Each step of that payment is a child of it, and links to the request that caused it.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from structlog.typing import EventDict, WrappedLogger

# https://opentelemetry.io/docs/specs/otel/protocol/exporter/
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class TracesUnavailable(Exception):
    """Traces are configured and cannot be exported; the message says what to do."""


class Span(Protocol):
    """A span that is under way. `traceparent` names it in another process."""

    traceparent: str

    def set(self, attributes: Mapping[str, str | int]) -> None:
        """Add attributes."""

    def rename(self, name: str) -> None:
        """Give it another name."""

    def fail(self, reason: str) -> None:
        """Mark it as failed. `reason` has no secret."""

    def end(self) -> None:
        """End it now."""


class Exporter(Protocol):
    """Makes spans and exports them."""

    def begin(self, name: str, *, kind: str, parent: str | None) -> Span:
        """Begin a span that the caller ends."""

    def current(self, span: Span) -> AbstractContextManager[object]:
        """Make a span current for a block, and end it."""

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
        """Export a span that has ended."""

    def current_traceparent(self) -> str | None:
        """Return the name of the current span."""

    def close(self) -> None:
        """Export what is left."""


_exporter: Exporter | None = None


def configure(version: str, deployment: str) -> None:
    """Begin to export if the environment says where to. Raises TracesUnavailable."""
    if not any(os.environ.get(name) for name in ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from payment_service.telemetry.exported_spans import open_exporter  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        message = (
            f"{ENDPOINTS[0]} is set, but OpenTelemetry is not installed ({error.name}): pip install 'payment-service[traces]', or"
            " remove the variable."
        )
        raise TracesUnavailable(message) from None
    use(open_exporter(version, deployment))


def use(exporter: Exporter | None) -> None:
    """Export spans by this exporter from now on; None: no spans."""
    global _exporter  # noqa: PLW0603 - the process has one
    _exporter = exporter


def close() -> None:
    """Export what is left, for at most some seconds."""
    if _exporter is not None:
        _exporter.close()
        use(None)


def on() -> bool:
    """Return whether spans are exported."""
    return _exporter is not None


def begin(name: str, *, kind: str = "internal", parent: str | None = None) -> Span | None:
    """Begin a span that the caller ends. Without a parent, it is a child of the current one. None: traces are off."""
    return _exporter.begin(name, kind=kind, parent=parent) if _exporter is not None else None


def current(span: Span | None) -> AbstractContextManager[object]:
    """Make a span current for a block, and end it. Log lines in the block have its ids."""
    return _exporter.current(span) if _exporter is not None and span is not None else nullcontext()


def current_traceparent() -> str | None:
    """Return the current span as other processes name it, or None."""
    return _exporter.current_traceparent() if _exporter is not None else None


def record(
    name: str,
    *,
    began_s: float,
    ended_s: float,
    kind: str = "internal",
    parent: str | None = None,
    links: Sequence[str] = (),
    attributes: Mapping[str, str | int],
) -> None:
    """Export a span that has ended. Times are seconds since 1970."""
    if _exporter is not None:
        _exporter.record(
            name, began_s=began_s, ended_s=ended_s, kind=kind, parent=parent, links=links, attributes=attributes
        )


def add_ids(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Add the ids of the current span to a log line."""
    if (traceparent := current_traceparent()) is not None:
        _, line["trace_id"], line["span_id"], _ = traceparent.split("-")
    return line
