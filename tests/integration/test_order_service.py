"""Test the example order service as a process: repeated records, reordered records, and kills."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg
import pytest

from docs.examples.order_service import Standing, standing, tasks
from payment_service.db.records import OutboxRecord
from payment_service.domain.payment_event import PaymentEvent
from payment_service_demo.embedded.process import ChildProcess
from payment_service_events import Event, read
from payment_service_events.currency import currency
from payment_service_events.money import Money
from payment_service_events.published_events import (
    Authorized,
    Canceled,
    DisputeClosed,
    Disputed,
    Failed,
    Initiated,
    Refunded,
    RefundFailed,
    RefundInitiated,
    Succeeded,
)
from scripts.sample_records import record_of, samples
from tests.support.eventually import eventually
from tests.support.kafka import Topics, group_id

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "order_service.py"
[INITIATED], [AUTHORIZED], [SUCCEEDED] = samples(Initiated), samples(Authorized), samples(Succeeded)
[DECLINED, ENDED], [CANCELED] = samples(Failed), samples(Canceled)
[REFUND_INITIATED], [REFUNDED], [REFUND_FAILED] = samples(RefundInitiated), samples(Refunded), samples(RefundFailed)
[DISPUTED], [DISPUTE_WON] = samples(Disputed), samples(DisputeClosed)
PAID = Money(1990, currency("eur"))
PART, NOTHING = Money(500, PAID.currency), Money(0, PAID.currency)

# Events of an order, payment by payment; the order's resulting status; the resulting tasks.
LIVES: list[tuple[str, list[list[PaymentEvent]], Standing, list[str]]] = [
    ("paid", [[INITIATED, SUCCEEDED]], Standing(status="paid", paid=PAID), ["ship"]),
    ("declined", [[INITIATED, DECLINED]], Standing(status="awaiting payment"), []),
    ("paid-at-the-second-try", [[INITIATED, DECLINED, SUCCEEDED]], Standing(status="paid", paid=PAID), ["ship"]),
    ("unpaid", [[INITIATED, DECLINED, CANCELED, ENDED]], Standing(status="unpaid"), ["release the stock"]),
    (
        "held",
        [[INITIATED, AUTHORIZED, SUCCEEDED]],
        Standing(status="paid", paid=PAID),
        ["pack, then ask for the capture", "ship"],
    ),
    (
        "refund-that-failed-late",
        [[INITIATED, SUCCEEDED, REFUND_INITIATED, REFUNDED, REFUND_FAILED]],
        Standing(status="paid", paid=PAID, refunded=NOTHING),
        ["ship", "pay 5.00 eur back by another way"],
    ),
    (
        "disputed",
        [[INITIATED, SUCCEEDED, DISPUTED]],
        Standing(status="paid", paid=PAID, disputed=True),
        ["ship", "hold the parcel", "send evidence by 2026-02-07"],
    ),
    (
        "dispute-won",
        [[INITIATED, SUCCEEDED, REFUNDED, DISPUTED, DISPUTE_WON]],
        Standing(status="paid", paid=PAID, refunded=PART),
        ["ship", "hold the parcel", "send evidence by 2026-02-07", "ship"],
    ),
    (
        "paid-by-another-payment",
        [[INITIATED, CANCELED, ENDED], [INITIATED, SUCCEEDED]],
        Standing(status="paid", paid=PAID),
        ["release the stock", "ship"],
    ),
]


def records(order: str, payments: Sequence[Sequence[PaymentEvent]]) -> list[OutboxRecord]:
    return [
        record_of(announcement, order=order, sequence=sequence, attempt=attempt)
        for attempt, announcements in enumerate(payments, 1)
        for sequence, announcement in enumerate(announcements, 1)
    ]


def event_of(record: OutboxRecord) -> Event:
    return read(record.topic, record.value, record.headers)


@pytest.mark.parametrize(("order", "payments", "expected", "to_do"), LIVES, ids=[life[0] for life in LIVES])
def test_the_order_status_and_tasks_follow_from_the_events(
    order: str, payments: list[list[PaymentEvent]], expected: Standing, to_do: list[str]
) -> None:
    history = [event_of(record) for record in records(order, payments[-1:])]
    assert standing(history) == expected
    found = [
        what
        for number, event in enumerate(history, 1)
        for what in tasks(standing(history[: number - 1]), standing(history[:number]), event)
    ]
    assert found == to_do[-len(found) :] if found else not to_do


def test_a_parcel_is_not_shipped_if_the_dispute_arrives_before_the_payment() -> None:
    """Only the order of `ce_sequence` decides, not the order of arrival."""
    events = [event_of(record) for record in records("o", [[INITIATED, SUCCEEDED, DISPUTED]])]
    for inbound_record in permutations(events):
        known: list[Event] = []
        shipped = 0
        for event in inbound_record:
            before = standing(sorted(known, key=lambda e: e.sequence))
            known.append(event)
            to_do = tasks(before, standing(sorted(known, key=lambda e: e.sequence)), event)
            shipped += ("ship" in to_do) - ("hold the parcel" in to_do)
        assert shipped == 0


class Listener:
    """Processes of the example with one database and one consumer group."""

    def __init__(self, topics: Topics, dsn: str, folder: Path) -> None:
        self._env = {"KAFKA_BROKERS": topics.bootstrap_servers, "ORDERS_DSN": dsn, "KAFKA_GROUP_ID": group_id()}
        self._folder = folder
        self._count = 0
        self.dsn = dsn

    @contextmanager
    def running(self) -> Iterator[ChildProcess]:
        """Start a process, and kill it at the end if it still runs."""
        self._count += 1
        log = self._folder / f"order_service_{self._count}.log"
        child = ChildProcess([sys.executable, str(EXAMPLE)], log=log, env={**os.environ, **self._env})
        try:
            yield child
        finally:
            child.kill()

    def rows(self, query: str) -> list[Any]:
        """Query its database. Return nothing while its tables do not exist."""
        try:
            with psycopg.connect(self.dsn) as connection:
                return connection.execute(query.encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    def taken(self) -> int:
        """Return the number of records it has processed."""
        return sum(count for (count,) in self.rows("SELECT count(*) FROM payment_records"))


def publish(topics: Topics, made: Sequence[OutboxRecord]) -> None:
    for record in made:
        headers: dict[str, str | bytes] = {name: content or b"" for name, content in record.headers}
        topics.produce([record.value], topic=record.topic, key=key_of(record), headers=headers)


def key_of(record: OutboxRecord) -> Callable[[Any], bytes | None]:
    return lambda _value: record.key


@pytest.mark.invariant("I4")
@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_two_killed_processes_with_repeated_records_do_each_task_once(
    topics: Topics, empty_database_dsn: str, tmp_path: Path
) -> None:
    every_record = [record for order, payments, _, _ in LIVES for record in records(order, payments)]
    listener = Listener(topics, empty_database_dsn, tmp_path)
    half = len(every_record) // 2
    publish(topics, every_record[:half])
    with listener.running():
        eventually(lambda: listener.taken() >= half // 2, timeout_s=30)
    # It was killed before it stored its last offsets. Resend every record out of order, with unstorable ones between.
    shuffled = random.Random(7).sample(every_record, len(every_record))
    topics.produce([b"\xff"], topic="payments.failed")
    publish(topics, [record_of(DECLINED, order="not\0storable")])
    publish(topics, [*every_record[half:], *shuffled])
    with listener.running() as child, listener.running():
        eventually(lambda: listener.taken() == len(every_record), timeout_s=60)
        eventually(lambda: len(listener.rows("SELECT FROM refused_records")) == 2, timeout_s=30)
        orders = dict(listener.rows("SELECT order_id, (status, paid, refunded)::text FROM shop_orders"))
        assert child.stop() == 0
    assert orders.keys() == {order for order, *_ in LIVES}
    for order, _, expected, _ in LIVES:
        assert expected.status in orders[order]
        assert str(expected.refunded or "") in orders[order]
    repeated = listener.rows("SELECT order_id, what, because FROM tasks GROUP BY 1, 2, 3 HAVING count(*) > 1")
    assert repeated == []
    shipped = {order for (order,) in listener.rows("SELECT order_id FROM tasks WHERE what = 'ship'")}
    assert shipped >= {"paid", "paid-at-the-second-try", "paid-by-another-payment"}
    assert not shipped & {"declined", "unpaid"}
