"""Operations whose idempotency key no longer helps are read first and never create a second intent beside an existing one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from payment_service.db.operations import LOOK_FIRST, Claimed
from payment_service.domain.payment import IntentFact, Status
from payment_service.domain.refund import RefundFact, RefundListFact, RefundStatus
from payment_service.flows.calls.outcomes import (
    NOTHING_YET,
    conclude,
    conclude_lookup,
    conclude_read,
)
from payment_service.flows.calls.retry_delays import BACKOFF_MAX_S, backoff_s
from payment_service.provider.port import Done, Kind, Request
from payment_service_events.currency import currency
from payment_service_events.money import Money

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EUR = currency("eur")


def claimed(**changes: Any) -> Claimed:
    settings: dict[str, Any] = {
        "id": UUID(int=1),
        "payment_id": UUID(int=2),
        "kind": Kind.CREATE,
        "cause": "order",
        "request": Request(method="POST", path="/v1/payment_intents", body="", api_version="1"),
        "epoch": 1,
        "attempt": 3,
        "tries": 3,
        "resolving": True,
        "last_outcome": "unknown",
        "first_sent_at": NOW - timedelta(hours=24),
        "last_sent_at": NOW - timedelta(hours=1),
        "empty_read_at": None,
        "due_at": NOW,
        "claimed_at": NOW,
        **changes,
    }
    return Claimed(**settings)


def found(status: Status = Status.PENDING, intent_id: str = "pi_1") -> IntentFact:
    return IntentFact(
        intent_id=intent_id,
        status=status,
        at=1,
        source="list:pi_1",
        from_event=False,
        amount=Money(1990, EUR),
        received=Money(0, EUR),
        method="card",
    )


def read(operation: Claimed, facts: tuple[IntentFact | None, ...] | None) -> Any:
    return conclude_read(operation, facts, jitter=lambda: 1.0)


def test_an_unreadable_intent_parks_the_operation() -> None:
    """Such reads must never lead to a second create, so an operator has to look."""
    for facts in ((None,), (None, found()), (found(), None)):
        update = read(claimed(empty_read_at=NOW - timedelta(hours=1)), facts).update
        assert (update.state, update.code, update.next_epoch) == ("parked", "malformed_intent", False)


@pytest.mark.parametrize(
    ("changes", "code", "next_epoch"),
    [
        pytest.param(
            {"last_sent_at": NOW - timedelta(seconds=5)}, "too_early", False, id="an attempt may still be written"
        ),
        pytest.param({}, "found_nothing", False, id="the first read that finds nothing"),
        pytest.param({"empty_read_at": NOW - timedelta(seconds=59)}, "found_nothing", False, id="the second, too soon"),
        pytest.param({"empty_read_at": NOW - timedelta(seconds=60)}, "", True, id="the second, a minute later"),
    ],
)
def test_only_two_empty_reads_a_minute_apart_open_the_next_epoch(
    changes: dict[str, Any], code: str, next_epoch: bool
) -> None:
    update = read(claimed(**changes), ()).update
    assert (update.state, update.code, update.next_epoch) == ("due", code, next_epoch)


def test_a_misused_key_parks_the_operation_when_nothing_is_found() -> None:
    update = read(claimed(last_outcome="misused", empty_read_at=NOW - timedelta(hours=1)), ()).update
    assert (update.state, update.next_epoch) == ("parked", False)


def test_a_failed_listing_is_not_an_empty_read() -> None:
    update = read(claimed(empty_read_at=NOW - timedelta(hours=1)), None).update
    assert (update.state, update.next_epoch, update.empty_read) == ("due", False, False)


def test_of_several_intents_the_most_advanced_comes_first() -> None:
    """The first fact's intent becomes the payment's own: it must be the intent that may hold money."""
    canceled, processing = found(Status.CANCELED, "pi_4"), found(Status.PROCESSING, "pi_2")
    result = read(claimed(), (canceled, found(), processing, found(Status.DECLINED, "pi_3")))
    assert [fact.intent_id for fact in result.facts] == ["pi_2", "pi_3", "pi_1", "pi_4"]


def test_backoff_doubles_up_to_its_limit() -> None:
    assert [backoff_s(tries, 1.0) for tries in (0, 1, 2, 10, 1000)] == [0.5, 1.0, 2.0, BACKOFF_MAX_S, BACKOFF_MAX_S]


def test_an_unsent_create_is_sent_after_one_empty_read() -> None:
    update = read(claimed(epoch=LOOK_FIRST, last_sent_at=None, last_outcome=None), ()).update
    assert (update.state, update.outcome, update.next_epoch) == ("due", NOTHING_YET, True)
    known = read(claimed(epoch=LOOK_FIRST, last_sent_at=None), (found(),))
    assert (known.update.state, known.facts) == ("done", (found(),))
    unread = read(claimed(epoch=LOOK_FIRST, last_sent_at=None), None).update
    assert (unread.state, unread.code, unread.next_epoch) == ("due", "not_listed", False)


@pytest.mark.parametrize(
    ("named", "whole", "state", "next_epoch"),
    [
        (True, True, "done", False),
        (True, False, "done", False),
        (False, True, "due", True),
        (False, False, "parked", False),
    ],
)
def test_a_refund_is_sent_only_if_a_complete_list_lacks_it(
    named: bool, whole: bool, state: str, next_epoch: bool
) -> None:
    operation = claimed(kind=Kind.REFUND, epoch=LOOK_FIRST, last_sent_at=None)
    refund = RefundFact(
        intent_id="pi_1",
        provider_refund_id="re_1",
        refund_id=operation.id if named else None,
        amount=Money(100, EUR),
        status=RefundStatus.SUCCEEDED,
        failure="",
        at=1,
        source="answer",
    )
    listed = RefundListFact(intent_id="pi_1", refunds=(refund,), whole=whole, at=1, source="answer")
    result = conclude_lookup(operation, Done(fact=listed, request_id="req_1"), jitter=lambda: 1.0)
    assert (result.update.state, result.update.next_epoch) == (state, next_epoch)
    assert result.facts == (listed,), "the refunds that were read are always applied"


@pytest.mark.parametrize(("fact", "outdated"), [(None, False), (found(), True)])
def test_a_result_without_a_current_fact_is_read_again(fact: IntentFact | None, outdated: bool) -> None:
    """A replayed response shows how the object was, which may be a day ago."""
    outcome = Done(fact=fact, request_id="req_1", outdated=outdated)
    assert conclude(claimed(), outcome, jitter=lambda: 1.0).needs_read


def test_each_attempt_of_an_epoch_has_the_same_idempotency_key() -> None:
    assert claimed(attempt=3, tries=3).idempotency_key == claimed(attempt=4, tries=1).idempotency_key
    assert claimed(epoch=2).idempotency_key != claimed(epoch=1).idempotency_key
