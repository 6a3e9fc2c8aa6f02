"""A sample event of each kind, and its record as the service writes it, for docs and tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from payment_service.domain.ids import payment_id
from payment_service.domain.payment_event import PaymentEvent
from payment_service.flows.state.outbox_records import outbox_record
from payment_service_events.currency import currency
from payment_service_events.declaration import EventData, examples
from payment_service_events.money import Money
from payment_service_events.published_events import DATA
from scripts.document_states import SAMPLE

if TYPE_CHECKING:
    from payment_service.db.records import OutboxRecord

ORDER: Final = "order-1001"
PAYMENT: Final = payment_id("default", ORDER, 1)
PRICE: Final = Money(1990, currency("eur"))
TIME: Final = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)

# The examples of the declarations.
ANNOUNCEMENTS: Final = tuple(
    PaymentEvent(f"example:{number}", data) for kind in DATA for number, data in enumerate(examples(kind), 1)
)


def samples(kind: type[EventData]) -> list[PaymentEvent]:
    """Return the sample events with data of a kind."""
    return [event for event in ANNOUNCEMENTS if isinstance(event.data, kind)]


def record_of(
    told: PaymentEvent,
    *,
    order: str = ORDER,
    user: str = "user-7",
    sequence: int = 1,
    attempt: int = 1,
    trace: str | None = None,
) -> OutboxRecord:
    """Return the outbox record of an event for the `attempt`-th payment of `order`."""
    payment = replace(
        SAMPLE,
        id=payment_id("default", order, attempt),
        order_id=order,
        attempt=attempt,
        user_id=user,
        amount=PRICE,
        sequence=sequence,
        traceparent=trace,
    )
    return outbox_record(payment, told, deployment="default", now=TIME)
