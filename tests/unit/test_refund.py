"""Refunds and disputes add up to the same sums for any order of facts, and never exceed the captured amount."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.domain.early_facts import ReadIntent
from payment_service.domain.payment import Ignored, Parked, Payment, Status
from payment_service.domain.refund import (
    AnyRefundFact,
    NotRefundable,
    ReadRefunds,
    Refund,
    RefundFact,
    RefundListFact,
    RefundRefused,
    RefundRequested,
    RefundsChanged,
    RefundStatus,
    RefundTotalFact,
    RefundVerdict,
    apply_refund,
)
from payment_service_events.currency import currency
from payment_service_events.declaration import EventData
from payment_service_events.money import Money
from payment_service_events.published_events import Refunded, RefundFailed, RefundInitiated
from scripts.document_states import SAMPLE

EUR = currency("eur")
INTENT = "pi_1"
OURS = UUID(int=7)
PAID = replace(
    SAMPLE,
    provider_payment_id=INTENT,
    amount=Money(1000, EUR),
    captured=Money(1000, EUR),
    refunded=Money(0, EUR),
    reserved=Money(0, EUR),
    status=Status.SUCCEEDED,
)


class Book:
    """A payment with its refunds, updated the way the service updates them."""

    def __init__(self, payment: Payment = PAID) -> None:
        self.payment = payment
        self.refunds: dict[UUID, Refund] = {}
        self.events: list[EventData] = []

    def take(self, fact: AnyRefundFact) -> RefundVerdict:
        verdict = apply_refund(self.payment, self.refunds, fact)
        if isinstance(verdict, RefundsChanged):
            self.payment = verdict.payment
            self.refunds |= {refund.id: refund for refund in verdict.refunds}
            self.events += [event.data for event in verdict.events]
        return verdict

    @property
    def sums(self) -> tuple[int, int]:
        return self.payment.refunded.minor, self.payment.reserved.minor


def ask(amount: int | None = None, refund_id: UUID = OURS) -> RefundRequested:
    money = Money(amount, EUR) if amount is not None else None
    return RefundRequested(refund_id=refund_id, amount=money, reason="", disputed=False, at=1)


def fact(
    status: RefundStatus, at: int = 5, *, name: str = "re_1", amount: int = 400, ours: UUID | None = OURS
) -> RefundFact:
    return RefundFact(
        intent_id=INTENT,
        provider_refund_id=name,
        refund_id=ours,
        amount=Money(amount, EUR),
        status=status,
        failure="declined" if status is RefundStatus.FAILED else "",
        at=at,
        source=f"evt_{name}_{status}_{at}",
    )


def test_a_requested_refund_is_reserved_until_the_provider_refunds_it() -> None:
    book = Book()
    book.take(ask(400))
    assert book.sums == (0, 400)
    book.take(fact(RefundStatus.PENDING))
    assert book.sums == (0, 400)
    book.take(fact(RefundStatus.SUCCEEDED, 6))
    assert book.sums == (400, 0)
    assert [type(event) for event in book.events] == [RefundInitiated, Refunded]


def test_a_refund_without_an_amount_takes_the_remainder() -> None:
    book = Book()
    book.take(ask(400))
    book.take(ask(None, UUID(int=8)))
    assert book.refunds[UUID(int=8)].amount.minor == 600
    assert isinstance(book.take(ask(None, UUID(int=9))), NotRefundable)


@pytest.mark.parametrize(
    ("payment", "amount", "code"),
    [
        (PAID, 1001, "more_than_remains"),
        (replace(PAID, reserved=Money(1000, EUR)), 1, "nothing_left"),
        (replace(PAID, captured=Money(0, EUR), status=Status.AUTHORIZED), 1, "nothing_captured"),
        (replace(PAID, provider_payment_id=None), 1, "nothing_captured"),
    ],
)
def test_impossible_refunds_are_refused_with_a_code(payment: Payment, amount: int, code: str) -> None:
    verdict = Book(payment).take(ask(amount))
    assert isinstance(verdict, NotRefundable)
    assert verdict.code == code


def test_a_chargeback_blocks_refunds() -> None:
    verdict = Book().take(replace(ask(1), disputed=True))
    assert isinstance(verdict, NotRefundable)
    assert verdict.code == "disputed"


def test_a_late_failure_makes_the_amount_refundable_again() -> None:
    book = Book()
    book.take(ask(400))
    book.take(fact(RefundStatus.SUCCEEDED, 6))
    book.take(fact(RefundStatus.FAILED, 9))
    assert book.sums == (0, 0)
    event = book.events[-1]
    assert isinstance(event, RefundFailed)
    assert (event.code, event.amount_refunded.minor) == ("declined", 0)
    assert isinstance(book.take(ask(1000, UUID(int=8))), RefundsChanged)


def test_an_external_refund_is_recorded() -> None:
    book = Book()
    book.take(fact(RefundStatus.SUCCEEDED, ours=None))
    [refund] = book.refunds.values()
    assert (refund.external, refund.provider_refund_id, book.sums) == (True, "re_1", (400, 0))
    assert isinstance(book.take(ask(601)), NotRefundable)


def test_a_refund_with_our_id_keeps_it_even_if_its_row_is_lost() -> None:
    """The job that requested it finds it, and consumers recognize its events."""
    book = Book()
    book.take(replace(fact(RefundStatus.SUCCEEDED), payment_id=PAID.id))
    assert list(book.refunds) == [OURS]
    assert book.refunds[OURS].external
    assert isinstance(book.take(ask(400)), Ignored)
    assert book.sums == (400, 0)


@pytest.mark.parametrize("known", [True, False])
def test_a_refund_id_copied_from_another_payment_is_not_used(known: bool) -> None:
    book = Book()
    if known:
        book.take(ask(400))
    book.take(replace(fact(RefundStatus.SUCCEEDED), payment_id=UUID(int=99)))
    assert book.sums == (400, 400 if known else 0)
    [made] = [refund for refund in book.refunds.values() if refund.provider_refund_id == "re_1"]
    assert made.id != OURS


def test_our_refund_is_recognized_if_its_event_precedes_the_answer() -> None:
    book = Book()
    book.take(ask(400))
    book.take(fact(RefundStatus.SUCCEEDED))
    book.take(replace(fact(RefundStatus.SUCCEEDED), source="answer:1"))
    assert len(book.refunds) == 1
    assert book.sums == (400, 0)


def test_a_second_provider_refund_with_our_id_is_counted_separately() -> None:
    """The provider has paid the money back, whatever id the refund carries."""
    book = Book()
    book.take(ask(400))
    book.take(fact(RefundStatus.SUCCEEDED))
    book.take(fact(RefundStatus.SUCCEEDED, name="re_2"))
    assert book.sums == (800, 0)


def test_a_refused_refund_is_released_unless_the_provider_made_it() -> None:
    refused = RefundRefused(refund_id=OURS, code="charge_already_refunded", reason="All.", at=5, source="answer:1")
    book = Book()
    book.take(ask(400))
    book.take(refused)
    assert book.sums == (0, 0)
    assert isinstance(book.events[-1], RefundFailed)
    book.take(fact(RefundStatus.SUCCEEDED, 4))
    assert book.sums == (400, 0)
    assert book.take(refused) == Ignored("known")


def test_a_refusal_never_overrides_a_known_refund_in_either_order() -> None:
    refused = RefundRefused(refund_id=OURS, code="refused", reason="No.", at=5, source="answer:1")
    facts: list[AnyRefundFact] = [refused, fact(RefundStatus.PENDING, 4)]
    for order in permutations(facts):
        book = Book()
        book.take(ask(400))
        for one in order:
            book.take(one)
        assert (book.refunds[OURS].status, book.sums) == (RefundStatus.PENDING, (0, 400))


def test_refunds_above_the_captured_amount_trigger_a_read_of_all_refunds() -> None:
    """A success and an external refund arrive before the failure that made room for it."""
    book = Book()
    book.take(ask(1000))
    book.take(fact(RefundStatus.SUCCEEDED, amount=1000))
    external = fact(RefundStatus.SUCCEEDED, 9, name="re_2", amount=1000, ours=None)
    assert isinstance(book.take(external), ReadRefunds)
    assert book.sums == (1000, 0)
    failed = fact(RefundStatus.FAILED, 9, amount=1000)
    book.take(RefundListFact(intent_id=INTENT, refunds=(external, failed), whole=True, at=9, source="answer:2"))
    assert book.sums == (1000, 0)
    assert isinstance(book.take(external), Ignored)


def test_refunds_of_one_list_have_the_sums_right_after_each() -> None:
    """A failure comes first, since it made room; then the order of creation counts, whatever the order of the list."""
    book = Book()
    book.take(fact(RefundStatus.SUCCEEDED, 5, amount=400))
    listed = (
        replace(fact(RefundStatus.SUCCEEDED, 90, name="re_3", amount=600, ours=None), created_at=30, from_read=True),
        replace(fact(RefundStatus.SUCCEEDED, 90, name="re_2", amount=400, ours=None), created_at=20, from_read=True),
        replace(fact(RefundStatus.FAILED, 90, amount=400), created_at=10, from_read=True),
    )
    verdict = book.take(RefundListFact(intent_id=INTENT, refunds=listed, whole=True, at=90, source="answer:2"))
    assert isinstance(verdict, RefundsChanged)
    failed, *refunded = [event.data for event in verdict.events]
    assert isinstance(failed, RefundFailed)
    assert failed.amount_refunded.minor == 0
    assert [(one.amount_refunded.minor, one.full) for one in refunded if isinstance(one, Refunded)] == [
        (400, False),
        (1000, True),
    ]
    assert [event.at for event in verdict.events] == [None, 20, 30]


def test_a_refund_list_above_the_captured_amount_is_parked() -> None:
    twice = (fact(RefundStatus.SUCCEEDED, amount=900), fact(RefundStatus.SUCCEEDED, amount=900, name="re_2", ours=None))
    verdict = Book().take(RefundListFact(intent_id=INTENT, refunds=twice, whole=True, at=9, source="answer:2"))
    assert isinstance(verdict, Parked)


def test_a_refund_before_its_capture_triggers_a_read() -> None:
    book = Book(replace(PAID, captured=Money(0, EUR), status=Status.PENDING))
    assert isinstance(book.take(fact(RefundStatus.SUCCEEDED)), ReadIntent)
    moved = RefundTotalFact(intent_id=INTENT, total=Money(1, EUR), at=5, source="evt")
    assert isinstance(book.take(moved), ReadIntent)


def test_a_charge_total_triggers_a_read_only_if_it_is_new() -> None:
    book = Book()
    book.take(ask(400))
    known = RefundTotalFact(intent_id=INTENT, total=Money(400, EUR), at=5, source="evt")
    assert book.take(known) == Ignored("known")
    assert isinstance(book.take(replace(known, total=Money(500, EUR))), ReadRefunds)


@pytest.mark.parametrize("changes", [{"amount": Money(401, EUR)}, {"intent_id": "pi_2"}])
def test_a_refund_of_another_amount_or_intent_is_parked(changes: dict[str, object]) -> None:
    book = Book()
    book.take(ask(400))
    assert isinstance(book.take(replace(fact(RefundStatus.SUCCEEDED), **changes)), Parked)  # type: ignore[arg-type]


STORY = (
    fact(RefundStatus.PENDING, 5),
    fact(RefundStatus.SUCCEEDED, 6),
    fact(RefundStatus.FAILED, 9),
    fact(RefundStatus.PENDING, 7, name="re_2", amount=300, ours=None),
    fact(RefundStatus.SUCCEEDED, 7, name="re_2", amount=300, ours=None),
)


@pytest.mark.parametrize("order", list(permutations(STORY)), ids=range(120))
def test_refund_facts_in_any_order_give_the_same_sums(order: Sequence[RefundFact]) -> None:
    book = Book()
    book.take(ask(400))
    for one in [*order, *order[:2]]:
        book.take(one)
    assert {refund.provider_refund_id: refund.status for refund in book.refunds.values()} == {
        "re_1": RefundStatus.FAILED,
        "re_2": RefundStatus.SUCCEEDED,
    }
    assert book.sums == (300, 0)


_facts = st.builds(
    fact,
    st.sampled_from(RefundStatus),
    st.integers(1, 9),
    name=st.sampled_from(["re_1", "re_2", "re_3"]),
    amount=st.just(400),
    ours=st.none(),
)
_asks = st.builds(ask, st.one_of(st.none(), st.integers(1, 1200)), st.integers(20, 23).map(lambda n: UUID(int=n)))


@given(st.lists(st.one_of(_facts, _asks), max_size=12))
def test_refunded_plus_reserved_never_exceed_the_captured_amount(facts: list[AnyRefundFact]) -> None:
    book = Book()
    for one in facts:
        before = book.payment
        verdict = book.take(one)
        refunded, reserved = book.sums
        assert 0 <= refunded <= 1000
        if isinstance(one, RefundRequested) and isinstance(verdict, RefundsChanged):
            assert refunded + reserved <= 1000
        if not isinstance(verdict, RefundsChanged):
            assert book.payment == before
