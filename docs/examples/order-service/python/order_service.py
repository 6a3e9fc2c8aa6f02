"""A small order service: it publishes an order, consumes `payments.*`, and ships each paid order once.

Each record is one transaction: its `ce_id`, and the new status of the order. The offset is stored after the commit, so a
crash at any moment repeats records and loses none.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message, Producer

from payment_service_client import PaymentServiceClient, PaymentServiceError
from payment_service_events import (
    TOPICS,
    Event,
    MalformedRecord,
    PaymentAuthorized,
    PaymentFailed,
    PaymentInitiated,
    PaymentRefunded,
    PaymentSucceeded,
    read_message,
)

BROKERS = os.environ["KAFKA_BROKERS"]

SCHEMA = b"""
CREATE SCHEMA IF NOT EXISTS order_service;
CREATE TABLE IF NOT EXISTS order_service.orders (
    order_id text PRIMARY KEY, status text NOT NULL DEFAULT 'new', parcels integer NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS order_service.payment_events (
    ce_id text PRIMARY KEY, order_id text NOT NULL REFERENCES order_service.orders,
    attempt integer NOT NULL, sequence integer NOT NULL, status text NOT NULL);
"""


def place(order_id: str, total: str, currency: str) -> None:
    """Publish an order and wait until Kafka has it."""
    producer = Producer({"bootstrap.servers": BROKERS})
    order = {"order_id": order_id, "user_id": "user-1", "total": total, "currency": currency}
    producer.produce("orders.created", key=order_id, value=json.dumps(order))
    if producer.flush(30):
        sys.exit(f"{order_id} was not published: check KAFKA_BROKERS.")
    print(f"{order_id}: placed", flush=True)


def status_after(event: Event) -> str:
    """Return the status that an event gives its order, or an empty text if it changes nothing."""
    if isinstance(event, PaymentInitiated):
        return "awaiting payment"
    if isinstance(event, PaymentAuthorized):
        return "held"
    if isinstance(event, PaymentSucceeded):
        return "paid"
    if isinstance(event, PaymentFailed) and event.final:
        return "unpaid"
    return "refunded" if isinstance(event, PaymentRefunded) and event.full else ""


def take(db: psycopg.Connection[Any], event: Event) -> str | None:
    """Store an event. Return the new status of its order, or None if the status stays."""
    with db.transaction():
        db.execute("INSERT INTO order_service.orders (order_id) VALUES (%s) ON CONFLICT DO NOTHING", (event.order_id,))
        # Another member of the group may hold a record of this order, from another topic: it waits here.
        locked = "SELECT status FROM order_service.orders WHERE order_id = %s FOR UPDATE"
        before = db.execute(locked, (event.order_id,)).fetchone()
        added = db.execute(
            "INSERT INTO order_service.payment_events VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (event.id, event.order_id, event.attempt, event.sequence, status_after(event)),
        )
        if not added.rowcount:
            return None  # repeated
        # Topics overtake each other, so the highest sequence of the latest payment decides, not the record that came last.
        latest = (
            "SELECT status FROM order_service.payment_events WHERE order_id = %s AND status <> ''"
            " ORDER BY attempt DESC, sequence DESC LIMIT 1"
        )
        after = db.execute(latest, (event.order_id,)).fetchone()
        if after is None or after == before:
            return None
        db.execute(
            "UPDATE order_service.orders SET status = %s, parcels = parcels + %s WHERE order_id = %s",
            (after[0], int(after[0] == "paid"), event.order_id),
        )
        return str(after[0])


def show_checkout(payments: PaymentServiceClient, order_id: str) -> None:
    """Ask how the customer can pay. A shop passes `pay` of the answer to its page; never log it."""
    try:
        checkout = payments.read_checkout(order_id=order_id)
    except PaymentServiceError as error:
        print(f"{order_id}: no checkout: {error}", flush=True)
    else:
        print(f"{order_id}: checkout: {checkout['next']} {checkout['amount']} {checkout['currency']}", flush=True)


def handle(db: psycopg.Connection[Any], payments: PaymentServiceClient, message: Message) -> None:
    """Take a record, and act when the status of its order changes."""
    try:
        event = read_message(message)
    except MalformedRecord as error:
        print(f"set aside: {error}", flush=True)
        return
    if status := take(db, event) if event.order_id else None:
        print(f"{event.order_id}: {status}", flush=True)
        if status == "awaiting payment":
            show_checkout(payments, event.order_id)


def main() -> None:
    """Publish the order of the command line, then consume until SIGTERM or Ctrl-C."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": BROKERS,
            "group.id": os.environ.get("KAFKA_GROUP_ID", "order-service-python"),
            "session.timeout.ms": 6000,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
        }
    )
    with (
        psycopg.connect(os.environ["ORDERS_DSN"], autocommit=True) as db,
        PaymentServiceClient(os.environ["API_URL"], os.environ["API_KEY"]) as payments,
        closing(consumer),
    ):
        db.execute(SCHEMA)
        if sys.argv[1:]:
            place(*sys.argv[1:])
        consumer.subscribe(list(TOPICS))
        while not stopping:
            message = consumer.poll(1)
            if message is None or message.error():
                continue  # the client retries errors
            handle(db, payments, message)
            consumer.store_offsets(message)


if __name__ == "__main__":
    main()
