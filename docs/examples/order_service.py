"""An order service that consumes payment events. It ships paid orders, even when records repeat or overtake each other.

    KAFKA_BROKERS=localhost:9092 ORDERS_DSN=dbname=shop python docs/examples/order_service.py

It needs Python 3.10 or later and payment-service-events, confluent-kafka and psycopg. Each record is one transaction: its
`ce_id`, the new state of the order and the tasks that follow. The offset is stored after the commit, so that a crash at
any moment repeats records and loses none.
"""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psycopg
from confluent_kafka import Consumer, KafkaException, Message

from payment_service_events import (
    TOPICS,
    Event,
    MalformedRecord,
    Money,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDisputeClosed,
    PaymentDisputed,
    PaymentFailed,
    PaymentInitiated,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentSucceeded,
    read,
    read_message,
    take,
)

SCHEMA: Final = Path(__file__).with_suffix(".sql")
POLL_S: Final = 0.2

log = logging.getLogger("order-service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of an order, derived from its history alone."""

    status: str = "new"
    paid: Money | None = None
    refunded: Money | None = None
    disputed: bool = False

    @property
    def to_ship(self) -> bool:
        """True while the goods may be shipped."""
        return self.status == "paid" and not self.disputed


def standing(history: Sequence[Event]) -> Standing:
    """Fold the history of an order, first to last."""
    found = Standing()
    for event in history:
        found = follow(found, event)
    return found


def follow(before: Standing, event: Event) -> Standing:
    """Return the state after an event. Events that are not listed, unknown topics too, change nothing."""
    match event:
        case PaymentInitiated():
            return replace(before, status="awaiting payment")
        case PaymentFailed(final=True):
            return replace(before, status="unpaid")
        case PaymentAuthorized():
            return replace(before, status="held")
        case PaymentSucceeded(amount=amount):
            return replace(before, status="paid", paid=amount)
        case PaymentCaptured(amount_captured=total):
            return replace(before, paid=total)
        case PaymentRefunded(amount_refunded=total, full=full):
            return replace(before, status="refunded" if full else before.status, refunded=total)
        case PaymentRefundFailed(amount_refunded=total):
            return replace(before, refunded=total)
        case PaymentDisputed():
            return replace(before, disputed=True)
        case PaymentDisputeClosed(status=status):
            return replace(before, disputed=False, status="lost" if status == "lost" else before.status)
        case _:
            return before


def tasks(before: Standing, after: Standing, event: Event) -> list[str]:
    """Return the tasks that `event` causes. A decline that is not final causes none: the customer may still pay."""
    found = []
    if after.to_ship and not before.to_ship:
        found.append("ship")
    if before.to_ship and not after.to_ship:
        found.append("hold the parcel")
    if after.status == "unpaid" != before.status:
        found.append("release the stock")
    match event:
        case PaymentAuthorized():
            found.append("pack, then ask for the capture")
        case PaymentRefundFailed(amount=amount):
            found.append(f"pay {amount} back by another way")
        case PaymentDisputed(evidence_due_by=due) if due is not None:
            found.append(f"send evidence by {due:%Y-%m-%d}")
        case _:
            pass
    return found


class PostgresStore:
    """A store in the table `payment_records`, in the transaction of the caller."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def add(self, event: Event) -> bool:
        """Store the record. Return False when its `ce_id` is stored already."""
        record = event.record
        added = self._connection.execute(
            "INSERT INTO payment_records (ce_id, order_id, topic, value, headers) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (event.id, event.order_id, record.topic, record.value, json.dumps(dict(record.headers))),
        )
        return added.rowcount == 1

    def of_order(self, order_id: str) -> list[Event]:
        """Return the events of an order. This version reads records that an earlier version did not know."""
        rows = self._connection.execute(
            "SELECT topic, value, headers FROM payment_records WHERE order_id = %s", (order_id,)
        )
        return [read(topic, value, headers) for topic, value, headers in rows]


def handle(connection: psycopg.Connection[Any], message: Message) -> None:
    """Take one record, in one transaction. Set aside a record that cannot be read or stored, so that it blocks no other."""
    try:
        event = read_message(message)
        with connection.transaction():
            keep(connection, event)
    except (MalformedRecord, psycopg.DataError) as error:
        refuse(connection, message, type(error).__name__ if isinstance(error, psycopg.DataError) else str(error))


def keep(connection: psycopg.Connection[Any], event: Event) -> None:
    """Store an event, and apply it to its order once."""
    if not event.order_id:  # a record of a topic added later, about something else
        return
    # Two members of the group may hold records of one order from different topics: the second waits here.
    connection.execute("INSERT INTO shop_orders (order_id) VALUES (%s) ON CONFLICT DO NOTHING", (event.order_id,))
    connection.execute("SELECT FROM shop_orders WHERE order_id = %s FOR UPDATE", (event.order_id,))
    history = take(PostgresStore(connection), event)
    if history is not None and event in history:
        change(connection, event, history)


def change(connection: psycopg.Connection[Any], event: Event, history: Sequence[Event]) -> None:
    """Write the new state of the order and the tasks that follow."""
    before, after = standing([known for known in history if known.id != event.id]), standing(history)
    connection.execute(
        "UPDATE shop_orders SET status = %s, paid = %s, refunded = %s, changed_at = now() WHERE order_id = %s",
        (after.status, str(after.paid or ""), str(after.refunded or ""), event.order_id),
    )
    for what in tasks(before, after, event):
        connection.execute(
            "INSERT INTO tasks (order_id, what, because) VALUES (%s, %s, %s)", (event.order_id, what, event.id)
        )


def refuse(connection: psycopg.Connection[Any], message: Message, why: str) -> None:
    """Set a record aside for a person."""
    connection.execute(
        'INSERT INTO refused_records (topic, partition, "offset", why, value) VALUES (%s, %s, %s, %s, %s)'
        " ON CONFLICT DO NOTHING",
        (message.topic(), message.partition(), message.offset(), why, message.value()),
    )


def main() -> None:
    """Consume until SIGTERM or Ctrl-C. An error ends the process; the next one resumes from the stored offset."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BROKERS"],
            "group.id": os.environ.get("KAFKA_GROUP_ID", "order-service"),
            "session.timeout.ms": 6000,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
        }
    )
    with psycopg.connect(os.environ["ORDERS_DSN"], autocommit=True) as connection, closing(consumer):
        connection.execute(SCHEMA.read_bytes())
        consumer.subscribe(list(TOPICS))
        while not stopping:
            message = consumer.poll(POLL_S)
            if message is None:
                continue
            if error := message.error():
                if error.fatal():
                    raise KafkaException(error)
                log.warning("%s", error)  # the client retries
                continue
            handle(connection, message)
            consumer.store_offsets(message)


if __name__ == "__main__":
    main()
