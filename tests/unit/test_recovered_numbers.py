"""Events continue above the numbers that the topics have, whatever the order in which facts are applied again."""

from __future__ import annotations

from itertools import permutations
from uuid import UUID

from payment_service.db.records import HistoryEntry, OutboxRecord
from payment_service.flows.state.recovered_numbers import renumber

PAYMENT, OTHER = UUID(int=1), UUID(int=2)


def record(name: int, sequence: int, payment: UUID = PAYMENT) -> OutboxRecord:
    return OutboxRecord(
        id=UUID(int=name),
        aggregate="payment",
        aggregate_id=payment,
        sequence=sequence,
        topic="payments.initiated",
        key=None,
        value=None,
        headers=(("ce_id", str(UUID(int=name)).encode()), ("ce_sequence", str(sequence).encode())),
    )


def entry(sequence: int | None, payment: UUID = PAYMENT) -> HistoryEntry:
    return HistoryEntry(
        payment_id=payment,
        sequence=sequence,
        from_status="created",
        to_status="pending",
        published_topic="payments.initiated" if sequence else None,
        cause="pi_1:created",
        occurred_at=None,
    )


def test_published_event_is_not_published_again_and_new_ones_follow_all_numbers() -> None:
    """The topic has the events 10, 11 and 12 with the numbers 1 to 3. The event 20 is new."""
    recovered = {PAYMENT: {UUID(int=10): 1, UUID(int=11): 2, UUID(int=12): 3}}
    for order in permutations([10, 20, 12]):
        outbox = [record(name, number) for number, name in enumerate(order, 1)]
        done = renumber(outbox, [entry(n) for n in (1, 2, 3)], before={PAYMENT: 0}, recovered=recovered)
        assert [(one.id.int, one.sequence, dict(one.headers)["ce_sequence"]) for one in done.outbox] == [(20, 4, b"4")]
        assert sorted(e.sequence or 0 for e in done.history) == [0, 0, 4]
        assert [e.published_topic is None for e in done.history] == [e.sequence is None for e in done.history]
        assert done.last == {PAYMENT: 4}


def test_numbers_of_other_payments_and_unpublished_changes_stay() -> None:
    outbox, history = [record(5, 7, OTHER), record(6, 1)], [entry(7, OTHER), entry(None), entry(1)]
    done = renumber(outbox, history, before={PAYMENT: 0, OTHER: 6}, recovered={PAYMENT: {UUID(int=9): 4}})
    assert [(one.aggregate_id, one.sequence) for one in done.outbox] == [(OTHER, 7), (PAYMENT, 5)]
    assert [e.sequence for e in done.history] == [7, None, 5]


def test_numbers_continue_above_the_row_if_it_is_ahead_of_the_topic() -> None:
    done = renumber([record(6, 9)], [entry(9)], before={PAYMENT: 8}, recovered={PAYMENT: {UUID(int=9): 4}})
    assert [one.sequence for one in done.outbox] == [9]
