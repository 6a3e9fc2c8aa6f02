"""What payment-service announces, typed, for those who listen: `read` a record of `payments.*`, `take` it once, in its order.

    event = read_message(message)                  # of confluent-kafka; or read(topic, value, headers)
    history = take(store, event)                   # None: it was taken before
    match event:
        case PaymentFailed(final=True): ...        # it ended unpaid
        case PaymentSucceeded(amount=amount): ...  # amount.minor, amount.currency.code

Nothing but the standard library is imported. docs/consuming.md has the rules, docs/examples/order_service.py a listener.
"""

from payment_service_events.history import MemoryStore, Store, in_order, take
from payment_service_events.money import Money
from payment_service_events.reading import TOPICS, MalformedRecord, read, read_message
from payment_service_events.types import (
    Event,
    PaymentAuthorized,
    PaymentCanceled,
    PaymentDisputeClosed,
    PaymentDisputed,
    PaymentFailed,
    PaymentInitiated,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRefundInitiated,
    PaymentSucceeded,
    Record,
    Unknown,
)

__all__ = [
    "TOPICS",
    "Event",
    "MalformedRecord",
    "MemoryStore",
    "Money",
    "PaymentAuthorized",
    "PaymentCanceled",
    "PaymentDisputeClosed",
    "PaymentDisputed",
    "PaymentFailed",
    "PaymentInitiated",
    "PaymentRefundFailed",
    "PaymentRefundInitiated",
    "PaymentRefunded",
    "PaymentSucceeded",
    "Record",
    "Store",
    "Unknown",
    "in_order",
    "read",
    "read_message",
    "take",
]
