"""Test where claims begin to search."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from payment_service.db.operations import BEGINNING
from payment_service.flows.calls.search_start import LATE_COMMIT, NEVER, SearchStart

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Claims:
    """A search start and the clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.start = SearchStart(lambda: self.now_s)

    def claim(self, looked_until: datetime, kinds: frozenset[str] = frozenset(), took_s: float = 0) -> datetime:
        """Claim once, and return where the search began."""
        after = self.start.begin(kinds)
        self.now_s += took_s
        self.start.end(looked_until)
        return after


def test_a_claim_begins_where_the_last_one_left_nothing() -> None:
    claims = Claims()
    assert claims.claim(NOW) == BEGINNING
    assert claims.claim(NOW + timedelta(seconds=3)) == NOW - LATE_COMMIT
    assert claims.claim(NOW) == NOW + timedelta(seconds=3) - LATE_COMMIT


def test_a_claim_without_tokens_does_not_move_the_start() -> None:
    claims = Claims()
    claims.claim(BEGINNING)
    assert claims.claim(NOW) == BEGINNING


def test_the_beginning_is_searched_every_five_seconds() -> None:
    claims = Claims()
    claims.claim(NOW)
    claims.now_s += 4.9
    assert claims.claim(NOW) != BEGINNING
    claims.now_s += 0.1
    assert claims.claim(NOW) == BEGINNING


def test_a_slow_search_is_repeated_less_often() -> None:
    claims = Claims()
    claims.claim(NOW, took_s=0.4)
    claims.now_s += 7.5
    assert claims.claim(NOW) != BEGINNING
    claims.now_s += 1
    assert claims.claim(NOW) == BEGINNING


def test_an_operation_that_committed_late_waits_for_no_search_longer_than_ten_seconds() -> None:
    """A search took four seconds on a machine without a free core."""
    claims = Claims()
    claims.claim(NOW, took_s=4)
    claims.now_s += 10
    assert claims.claim(NOW) == BEGINNING


def test_a_heartbeat_never_looks_from_the_beginning() -> None:
    """An old snapshot makes that look take seconds, and a worker whose heartbeat is late counts as dead."""
    claims = Claims()
    assert claims.start.after == NEVER
    claims.claim(NOW)
    claims.now_s += 5
    assert claims.start.begin(frozenset()) == BEGINNING
    assert claims.start.after == NOW - LATE_COMMIT


def test_other_kinds_are_searched_from_the_beginning() -> None:
    """A kind that was blocked has operations that are due for long."""
    claims = Claims()
    claims.claim(NOW, frozenset({"create"}))
    assert claims.claim(NOW, frozenset()) == BEGINNING
