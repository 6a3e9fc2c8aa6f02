"""Structured logs: one JSON object per line and event, on one stream, without secrets.

Every log line of the service and its libraries passes `mask`, so that a secret in a message by mistake is not written.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from payment_service.domain import guard
from payment_service.rate_limiter import LineFolder
from payment_service.telemetry import traces

# Patterns of secrets and their replacements. Stripe's prefixes: https://docs.stripe.com/keys; psk_ is an API key of
# this service.
_SECRETS: Final = (
    (re.compile(r"(?<![A-Za-z0-9])(sk|rk|psk|whsec)_[A-Za-z0-9_+/=-]+"), r"\1_***"),
    (re.compile(r"\b(v[01])=[0-9a-f]{16,}"), r"\1=***"),
    (re.compile(r"(?i)\b(bearer|basic) +[A-Za-z0-9._~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"(://[^\s:/@]*):[^\s/@]+@"), r"\1:***@"),
    (re.compile(r"(?i)\b(password)=(?:'[^']*'|[^\s&']+)"), r"\1=***"),
)
# A cheap check if any pattern above can match.
_MAYBE: Final = re.compile(r"(?i)[rs]k_|whsec_|\bv[01]=|bearer|basic|://|password=")

_LIBRARIES_LEVEL: Final = logging.WARNING
# These write a line for each attempt to connect, to each broker or to the collector of traces.
_TALKATIVE: Final = ("librdkafka", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
_FOLD_INTERVAL_S: Final = 60.0
# Deeper than any log field of this service; bounds library objects that contain themselves.
_DEPTH_MAX: Final = 6


def configure_logs(level: str = "info", stream: TextIO | None = None) -> None:
    """Send logs from `level` on to `stream` (standard output by default); those of libraries from warning on."""
    stream = stream or sys.stdout
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        traces.add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,
        _mask_all,
        _order,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    _route_libraries(stream, max(least, _LIBRARIES_LEVEL), [*shared, _name_library], last)
    sys.excepthook = _log_crash
    threading.excepthook = lambda crash: _log_crash(crash.exc_type, crash.exc_value, crash.exc_traceback)


def mask(text: str) -> str:
    """Replace secrets, signatures and card numbers."""
    if _MAYBE.search(text) is not None:
        for pattern, left in _SECRETS:
            text = pattern.sub(left, text)
    return guard.clean(text)


def _route_libraries(stream: TextIO, least: int, first: list[Processor], last: list[Processor]) -> None:
    output = logging.StreamHandler(stream)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(least)
    # Some libraries install their own handlers, which would bypass the mask.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "aiohttp", "alembic", "librdkafka", "stripe"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).filters[:] = [_FoldLines(LineFolder(every_s=_FOLD_INTERVAL_S))]
    logging.captureWarnings(capture=True)


class _FoldLines(logging.Filter):
    """Let one line of each kind pass at a time. A line begins with its kind, such as FAIL."""

    def __init__(self, folder: LineFolder) -> None:
        super().__init__()
        self._folder = folder

    def filter(self, record: logging.LogRecord) -> bool:
        more = self._folder.fields(record.getMessage().partition(" ")[0])
        record.folded = 0 if more is None else more.get("folded", 0)
        return more is not None


def _log_crash(kind: type[BaseException], error: BaseException | None, traceback: Any) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        structlog.get_logger(__name__).error("crashed", exc_info=(kind, error, traceback))


def _name_library(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    record: logging.LogRecord = line["_record"]
    line["message"], line["event"], line["library"] = line["event"], "library_log", record.name
    if folded := getattr(record, "folded", 0):
        line["folded"] = folded
    return line


def _mask_all(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    return {name: _masked(value, 0) for name, value in line.items()}


def _masked(value: object, depth: int) -> object:
    """Return the value with masked texts, in JSON types. Other types are shown as text."""
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if (text := mask(str(value))) == str(value) else text
        case str():
            return mask(value)
        case Mapping() if depth < _DEPTH_MAX:
            return {mask(str(name)): _masked(inner, depth + 1) for name, inner in value.items()}
        case Sequence() | AbstractSet() if depth < _DEPTH_MAX and not isinstance(value, bytes | bytearray | memoryview):
            return [_masked(inner, depth + 1) for inner in value]
        case _:
            return mask(str(value))


def _order(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Put the fields that every line has first, for people who read logs."""
    first = {name: line.pop(name) for name in ("timestamp", "level", "event") if name in line}
    return first | dict(line)
