"""After a partial capture, the captured amount counts, not the amount of the order."""

from __future__ import annotations

from dataclasses import replace

from payment_service.domain.refund import RefundStatus
from payment_service_events.money import Money
from payment_service_events.published_events import Refunded
from tests.unit.test_refund import EUR, PAID, Book, fact


def test_a_refund_of_all_that_was_captured_is_full() -> None:
    book = Book(replace(PAID, captured=Money(400, EUR)))
    book.take(fact(RefundStatus.SUCCEEDED, amount=100, ours=None))
    book.take(fact(RefundStatus.SUCCEEDED, name="re_2", amount=300, ours=None))
    assert [event.full for event in book.events if isinstance(event, Refunded)] == [False, True]
