"""Gauges that only the database can measure: backlogs, their age, and what needs attention."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from prometheus_client import REGISTRY, Gauge

from payment_service.db import attention
from payment_service.db.pool import Connection, Pool
from payment_service.db.queries import load
from payment_service.telemetry import metrics

_sql = load(__package__, "gauges.sql")

_GAUGES: Final[dict[str, Gauge]] = {
    "operations": metrics.OPERATIONS,
    "oldest_outbox": metrics.OLDEST_OUTBOX_SECONDS,
    "outbox_backlog": metrics.OUTBOX_BACKLOG,
    "needs_attention": metrics.NEEDS_ATTENTION,
    "oldest_poll": metrics.OLDEST_POLL_SECONDS,
    "events_unread": metrics.EVENTS_UNREAD_SECONDS,
    "events_waiting": metrics.EVENTS_WAITING,
    "disputes_due": metrics.DISPUTES_DUE,
    "holds_ending": metrics.AUTHORIZATIONS_EXPIRING,
    "refunds_pending_long": metrics.REFUNDS_PENDING_LONG,
    "declined_often": metrics.DECLINED_OFTEN,
    "reconciliation_age": metrics.RECONCILIATION_AGE_SECONDS,
    "refunds_without_balance": metrics.REFUNDS_WITHOUT_BALANCE,
    "audit_unsealed": metrics.AUDIT_UNSEALED_SECONDS,
    "provider_blocked": metrics.PROVIDER_BLOCKED,
    "partition_days_left": metrics.PARTITION_DAYS_LEFT,
    "partition_default_rows": metrics.PARTITION_DEFAULT_ROWS,
}
# A label set stays at 0 after its last row is gone: a series that disappears looks like one that was never measured.
_FROM_DATABASE: Final = frozenset({*_GAUGES.values(), metrics.OLDEST_OPERATION_SECONDS})
_exported: set[Gauge] = set(_FROM_DATABASE)
_shown: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)


def hide() -> None:
    """Export no gauge until the next sample: an old value looks like a fresh one."""
    while _exported:
        REGISTRY.unregister(_exported.pop())


def _show() -> None:
    for gauge in _FROM_DATABASE - _exported:
        REGISTRY.register(gauge)
        _exported.add(gauge)


async def sample(pool: Pool) -> None:
    """Set the gauges. Takes a few milliseconds."""
    values: defaultdict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for gauge, labels, value in await pool.fetch(_sql.gauges):
        values[gauge][tuple(labels)] = value
    async with pool.acquire() as connection:
        for labels, items in (await attention.count(connection)).items():
            values["needs_attention"][labels] = items
    for name, gauge in _GAUGES.items():
        _shown[name] |= values[name].keys()
        for labels in _shown[name]:
            (gauge.labels(*labels) if labels else gauge).set(values[name].get(labels, 0))
    _show()


async def partition_days_left(pool: Pool | Connection) -> dict[str, float]:
    """Return the days until the last partition of each table ends. A negative number means that it has ended."""
    rows = await pool.fetch(_sql.gauges)
    return {row["labels"][0]: row["value"] for row in rows if row["gauge"] == "partition_days_left"}
