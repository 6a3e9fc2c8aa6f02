"""The demo's shop shows the records of its orders in sequence."""

from __future__ import annotations

from itertools import permutations

from payment_service.demo.heard import Heard, Told

ORDER = Told("orders.created", {})
RECORDS = (
    Told("payments.initiated", {}, sequence=1, attempt=1),
    Told("payments.canceled", {}, sequence=2, attempt=1),
    Told("payments.failed", {}, sequence=3, attempt=1),
    Told("payments.initiated", {}, sequence=1, attempt=2),
)


def test_records_of_several_topics_are_shown_in_sequence() -> None:
    for came in permutations(RECORDS):
        heard = Heard()
        heard.begin("o-1", ORDER)
        for record in came:
            heard.note("o-1", record)
        shown = heard.of("o-1")
        assert shown is not None
        assert [(told["topic"], told["attempt"], told["sequence"]) for told in shown] == [
            (told.topic, told.attempt, told.sequence) for told in (ORDER, *RECORDS)
        ]


def test_records_of_unknown_orders_are_not_shown() -> None:
    heard = Heard()
    heard.note("o-1", RECORDS[0])
    assert heard.of("o-1") is None
