"""Test when the relay may skip positions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from payment_service.db.outbox import Look
from payment_service.kafka.frontier import Frontier

SERVER = datetime(2026, 1, 1, tzinfo=UTC)


class Relay:
    """A frontier and the clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        pool: Any = None
        self.frontier = Frontier(pool, clock=lambda: self.now)
        self.after()  # the first fetch is a full one

    def after(self) -> int:
        """Return where the next fetch begins."""
        start = self.frontier.begin()
        self.frontier.end()
        return start.after

    def look(
        self, drawn: int, *, oldest: int, following: int, pending: int | None = None, server: datetime = SERVER
    ) -> None:
        """Look once."""
        self.frontier.move(
            Look(
                server=server,
                drawn=drawn,
                oldest_transaction=oldest,
                next_transaction=following,
                oldest_pending=pending,
            )
        )


def test_positions_are_skipped_after_every_transaction_that_may_have_drawn_them() -> None:
    relay = Relay()
    relay.look(50, oldest=7, following=9)
    relay.look(60, oldest=7, following=12)  # whoever drew up to 50 has an id below 12
    assert relay.after() == 0
    relay.look(70, oldest=11, following=15)
    assert relay.after() == 0
    relay.look(80, oldest=12, following=16)
    assert relay.after() == 50


def test_a_pending_record_is_never_skipped() -> None:
    relay = Relay()
    for _ in range(3):
        relay.look(50, oldest=20, following=20, pending=31)
    assert relay.after() == 30


def test_another_server_may_draw_the_positions_again() -> None:
    relay = Relay()
    for _ in range(3):
        relay.look(50, oldest=20, following=20)
    assert relay.after() == 50
    relay.look(40, oldest=20, following=20, server=SERVER + timedelta(seconds=1))
    assert relay.after() == 0


def test_a_fetch_begins_at_the_first_position_now_and_then() -> None:
    """It finds the records that an operator publishes again."""
    relay = Relay()
    for _ in range(3):
        relay.look(50, oldest=20, following=20)
    assert relay.after() == 50
    relay.now += 5
    assert relay.after() == 0
    assert relay.after() == 50


def test_a_slow_full_fetch_is_followed_by_a_long_pause() -> None:
    relay = Relay()
    for _ in range(3):
        relay.look(50, oldest=20, following=20)
    relay.now += 5
    relay.frontier.begin()
    relay.now += 2
    relay.frontier.end()
    relay.now += 39
    assert relay.after() == 50
    relay.now += 1
    assert relay.after() == 0
