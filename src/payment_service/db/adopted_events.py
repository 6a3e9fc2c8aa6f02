"""Events of a provider that the model had stored: those that it may send again are kept, so that each has its effect once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from payment_service.crash_points import reached
from payment_service.db.maintain import EVENTS_KEPT
from payment_service.db.queries import load
from payment_service.provider.port import BodyRefused
from payment_service.provider.stripe.webhooks import parse, translate

if TYPE_CHECKING:
    import psycopg

    from payment_service.provider.port import ProviderEvent

EVENTS: Final = "model_payment_events"

_sql = load(__package__, "adopt.sql")


def keep_events(session: psycopg.Connection[Any], *, batch: int, report: Callable[[str], None]) -> None:
    """Keep the events of the last 35 days, the longest that any is kept here; older ones stay where they are.

    One whose payload is not the event as Stripe sent it can't be told from others, and is not kept.
    """
    if session.execute("SELECT to_regclass(%s) IS NULL AS absent", [EVENTS]).fetchone().absent:  # type: ignore[union-attr]
        return
    since, after, kept, passed = datetime.now(UTC) - EVENTS_KEPT, None, 0, 0
    query = sql.SQL(_sql.recent_events).format(events=sql.Identifier(EVENTS))
    while rows := session.execute(query, {"since": since, "after": after, "limit": batch}).fetchall():
        readable = [(row, event) for row in rows if (event := _read(row.payload)) is not None]
        with session.transaction():
            _keep(session, readable)
            reached("adopt.events.commit.before")
        after, kept, passed = rows[-1].id, kept + len(readable), passed + len(rows) - len(readable)
    report(f"kept {kept} events of the last {EVENTS_KEPT.days} days, {passed} were no whole event")


def _read(payload: str | None) -> ProviderEvent | None:
    """Read a payload as strictly as a delivery, and leave out what must not be stored."""
    try:
        return translate(parse((payload or "").encode()), deployment="", livemode=True)
    except BodyRefused:
        return None


def _keep(session: psycopg.Connection[Any], readable: list[tuple[Any, ProviderEvent]]) -> None:
    session.execute(
        _sql.keep_events,
        {
            "payments": [row.payment_id for row, _ in readable],
            "types": [event.event_type for _, event in readable],
            "ids": [event.event_id for _, event in readable],
            "payloads": [event.payload for _, event in readable],
            "processed": [bool(row.processed) for row, _ in readable],
            "occurred": [event.occurred_at for _, event in readable],
            "created": [row.created_at for row, _ in readable],
        },
    )
