"""A suspect record is published alone, and recalled records keep their order."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from payment_service.db.outbox import OutboxRow, Placement
from payment_service.kafka.window import Window


def row(position: int) -> OutboxRow:
    """Return a record of a payment of its own."""
    return OutboxRow(
        position=position,
        aggregate_id=UUID(int=position),
        topic="payments.initiated",
        key=b"",
        value=b"",
        headers="[]",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_nothing_is_published_beside_a_suspect_record() -> None:
    """A broker refuses a whole batch: a good record beside a bad one would be parked as well."""
    window = Window()
    window.add([row(1), row(2)])
    first = window.next_ready()
    assert first is not None
    window.suspect(first)
    suspect = window.next_ready()
    assert suspect is not None
    assert window.is_alone(suspect)
    assert window.next_ready() is None
    window.acknowledge(suspect, Placement(1, 0, 0))
    after = window.next_ready()
    assert after is not None
    assert after.position == 2
    assert not window.is_alone(after)


def test_a_recalled_suspect_does_not_count_as_published_alone() -> None:
    window = Window()
    window.add([row(1), row(2)])
    first = window.next_ready()
    assert first is not None
    window.suspect(first)
    suspect = window.next_ready()
    assert suspect is not None
    window.recall()
    taken = [window.next_ready(), window.next_ready()]
    assert [r and r.position for r in taken] == [1, 2]
    assert not any(window.is_alone(r) for r in taken if r)


def test_recalled_records_are_sent_again_in_the_order_of_their_positions() -> None:
    """Another order would make an older record wait for newer ones, whenever a producer fails."""
    window = Window()
    window.add([row(1), row(2), row(3), row(4)])
    for _ in range(3):
        assert window.next_ready()
    window.recall()
    assert [taken and taken.position for taken in (window.next_ready() for _ in range(4))] == [1, 2, 3, 4]
