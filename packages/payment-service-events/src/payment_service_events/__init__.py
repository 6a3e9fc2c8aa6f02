"""Typed events for teams that consume the topics `payments.*` of payment-service.

Theory of operation: `read` turns a record into a frozen `Event`, or raises `MalformedRecord`. `take` stores the event once,
by its id, and returns the history of its order, sorted. You decide from that history, never from the record that came last:

    event = read_message(message)                  # of confluent-kafka; or read(topic, value, headers)
    history = take(store, event)                   # None: this event was taken before
    if isinstance(event, PaymentSucceeded):
        ship(event.order_id, event.amount.minor, event.amount.currency.code)
    if isinstance(event, PaymentFailed) and event.final:
        release_stock(event.order_id)

The package imports the standard library alone and runs on Python 3.9 or later. Start reading in `published_events.py` (the
events), then `reading.py` (records to events) and `history.py` (once, and in order). `money.py` and `currency.py` hold the money
types and the currency table that payment-service itself uses.
"""

from payment_service_events import published_events
from payment_service_events.currency import Currency
from payment_service_events.event import Event, Record, Unknown
from payment_service_events.history import MemoryStore, Store, in_order, take
from payment_service_events.money import Money
from payment_service_events.published_events import *  # noqa: F403 - `published_events.__all__` names the events
from payment_service_events.reading import TOPICS, MalformedRecord, read, read_message

__all__ = [
    "TOPICS",
    "Currency",
    "Event",
    "MalformedRecord",
    "MemoryStore",
    "Money",
    "Record",
    "Store",
    "Unknown",
    "in_order",
    "read",
    "read_message",
    "take",
]
__all__ += published_events.__all__
