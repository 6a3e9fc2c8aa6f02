"""The records that the demo's shop shows."""

from __future__ import annotations

from itertools import permutations

from payment_service_demo.received import ReceivedRecord, ReceivedRecords

ORDER = ReceivedRecord("orders.created", {})
RECORDS = (
    ReceivedRecord("payments.initiated", {}, sequence=1, attempt=1),
    ReceivedRecord("payments.canceled", {}, sequence=2, attempt=1),
    ReceivedRecord("payments.failed", {}, sequence=3, attempt=1),
    ReceivedRecord("payments.initiated", {}, sequence=1, attempt=2),
)


def test_records_of_several_topics_are_shown_by_sequence_in_any_order_of_arrival() -> None:
    for arrival in permutations(RECORDS):
        received = ReceivedRecords()
        received.add_order("o-1", ORDER)
        for record in arrival:
            received.add("o-1", record)
        shown = received.of_order("o-1")
        assert shown is not None
        assert [(record["topic"], record["attempt"], record["sequence"]) for record in shown] == [
            (record.topic, record.attempt, record.sequence) for record in (ORDER, *RECORDS)
        ]


def test_records_of_orders_from_elsewhere_are_not_shown() -> None:
    received = ReceivedRecords()
    received.add("o-1", RECORDS[0])
    assert received.of_order("o-1") is None
