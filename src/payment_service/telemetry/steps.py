"""The steps of a payment: a log line each at LOG_LEVEL=debug, and a span each while traces are on."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import structlog

from payment_service.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

log = structlog.get_logger(__name__)


def wanted() -> bool:
    """Return whether somebody reads the steps. If not, do not collect them."""
    return traces.on() or log.is_enabled_for(logging.DEBUG)


def took(
    step: str,
    *,
    began_s: float,
    payment_id: UUID | None,
    parent: str | None = None,
    links: Sequence[str] = (),
    span_kind: str = "internal",
    ended_s: float | None = None,
    **fields: str | int,
) -> None:
    """Report a step that has ended now. Times are seconds since 1970. `parent` is the payment's traceparent."""
    about = {"payment_id": str(payment_id)} if payment_id else {}
    log.debug(step, **about, **fields)
    traces.record(
        step,
        began_s=began_s,
        ended_s=time.time() if ended_s is None else ended_s,
        kind=span_kind,
        parent=parent,
        links=links,
        attributes={**about, **fields},
    )
