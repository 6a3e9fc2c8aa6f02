"""An event that the service publishes about a payment. `payment_service_events.published_events` declares the data of each topic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payment_service_events.declaration import EventData


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """An event to publish.

    `cause` names the provider's object and the state it reached, or the payment's end, never an operation. The same fact
    from another source, or from another replica, therefore produces an event with the same id. A decline without a charge
    has no object of its own, so its event names it. `at`: the provider's time of this event, if it is not the fact's.
    """

    cause: str
    data: EventData
    at: int | None = None


def utc(seconds: int) -> datetime:
    """Return a time of the provider's clock, seconds since 1970, as an event has it."""
    return datetime.fromtimestamp(seconds, UTC)
