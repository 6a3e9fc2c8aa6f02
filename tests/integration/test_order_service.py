"""The example of an order service, as a process, on real records: repeated, overtaking each other, killed in the middle."""

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
from payment_service.domain.events import PaymentEvent
from payment_service_demo.embedded.process import ChildProcess
from payment_service_events import Event, read
from payment_service_events.currency import currency
from payment_service_events.money import Money
from scripts.sample_records import ANNOUNCEMENTS, record_of
from tests.support.eventually import eventually
from tests.support.kafka import Topics, group_id

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "order_service.py"
(
    INITIATED,
    AUTHORIZED,
    SUCCEEDED,
    DECLINED,
    ENDED,
    CANCELED,
    REFUND_INITIATED,
    REFUNDED,
    REFUND_FAILED,
    DISPUTED,
    DISPUTE_WON,
) = ANNOUNCEMENTS
PAID = Money(1990, currency("eur"))
PART, NOTHING = Money(500, PAID.currency), Money(0, PAID.currency)

# What was told of an order, its payments one after the other; where that leaves the order, and what has to be done.
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
        record_of(told, order=order, sequence=sequence, attempt=attempt)
        for attempt, told_of_it in enumerate(payments, 1)
        for sequence, told in enumerate(told_of_it, 1)
    ]


def event_of(record: OutboxRecord) -> Event:
    return read(record.topic, record.value, record.headers)


@pytest.mark.parametrize(("order", "payments", "expected", "to_do"), LIVES, ids=[life[0] for life in LIVES])
def test_where_an_order_stands_and_what_is_to_be_done(
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


def test_a_parcel_is_not_sent_when_the_payment_is_learned_after_its_dispute() -> None:
    """Whatever arrives first: only the order of `ce_sequence` decides."""
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
    """Processes of the example on one database and one group."""

    def __init__(self, topics: Topics, dsn: str, folder: Path) -> None:
        self._env = {"KAFKA_BROKERS": topics.bootstrap_servers, "ORDERS_DSN": dsn, "KAFKA_GROUP_ID": group_id()}
        self._folder = folder
        self._count = 0
        self.dsn = dsn

    @contextmanager
    def running(self) -> Iterator[ChildProcess]:
        """Start it; kill what is left of it at the end."""
        self._count += 1
        log = self._folder / f"order_service_{self._count}.log"
        child = ChildProcess([sys.executable, str(EXAMPLE)], log=log, env={**os.environ, **self._env})
        try:
            yield child
        finally:
            child.kill()

    def rows(self, query: str) -> list[Any]:
        """Ask its database; nothing while its tables are not there."""
        try:
            with psycopg.connect(self.dsn) as connection:
                return connection.execute(query.encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    def taken(self) -> int:
        """How many records it has taken."""
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
def test_killed_in_the_middle_with_everything_repeated_two_of_it_do_each_thing_once(
    topics: Topics, empty_database_dsn: str, tmp_path: Path
) -> None:
    whole = [record for order, payments, _, _ in LIVES for record in records(order, payments)]
    listener = Listener(topics, empty_database_dsn, tmp_path)
    half = len(whole) // 2
    publish(topics, whole[:half])
    with listener.running():
        eventually(lambda: listener.taken() >= half // 2, timeout_s=30)
    # Killed without having stored its last offsets. Now all comes again, out of order, and what can't be kept between.
    shuffled = random.Random(7).sample(whole, len(whole))
    topics.produce([b"\xff"], topic="payments.failed")
    publish(topics, [record_of(DECLINED, order="not\0storable")])
    publish(topics, [*whole[half:], *shuffled])
    with listener.running() as child, listener.running():
        eventually(lambda: listener.taken() == len(whole), timeout_s=60)
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
