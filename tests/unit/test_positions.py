"""Test positions of partitions: lag over gaps in offsets, and records that were deleted before they were read."""

from __future__ import annotations

import pytest

from payment_service.kafka.positions import UNKNOWN, Positions, Restarted, Skipped, Watermarks

ORDERS = ("orders.created", 0)


def positions(watermarks: Watermarks, committed: int = UNKNOWN) -> Positions:
    """Assign a partition with these watermarks and this committed offset."""
    made = Positions(lambda _partition: watermarks)
    made.assign([ORDERS])
    made.load(ORDERS, committed)
    return made


def test_control_records_and_aborted_records_are_no_lag_at_the_end() -> None:
    read = positions((0, 8))
    assert read.advance(ORDERS, [0, 2, 4], None) == []
    assert read.lag(ORDERS) == 3
    assert read.advance(ORDERS, [], 8) == []
    assert (read.lag(ORDERS), read.current()[ORDERS]) == (0, 8)


def test_a_gap_behind_the_first_record_of_the_broker_is_no_loss() -> None:
    """Compaction removes single records, whose keys have newer values."""
    assert positions((0, 100), committed=10).advance(ORDERS, [40, 41, 90], 100) == []


def test_records_deleted_before_they_were_read_are_found() -> None:
    """Offsets from the first kept one to the first read one are control records."""
    read = positions((5, 13), committed=1)
    assert read.advance(ORDERS, [8, 9], None) == [Skipped(topic="orders.created", partition=0, first=1, last=4)]
    assert read.advance(ORDERS, [10], None) == []


def test_records_deleted_while_earlier_ones_are_read_are_found() -> None:
    [found] = positions((40, 60), committed=10).advance(ORDERS, [10, 11, 50], None)
    assert isinstance(found, Skipped)
    assert (found.first, found.last, found.count) == (12, 39, 28)


def test_a_partition_whose_unread_records_are_all_deleted_has_no_lag() -> None:
    read = positions((18, 18), committed=13)
    assert read.advance(ORDERS, [], 18) == [Skipped(topic="orders.created", partition=0, first=13, last=17)]
    assert read.lag(ORDERS) == 0


def test_a_new_group_skips_nothing() -> None:
    """It has no position that deleted records could follow."""
    read = positions((5, 13))
    assert read.lag(ORDERS) == 8
    assert read.advance(ORDERS, [5], None) == []


def test_offsets_that_begin_again_are_reported() -> None:
    """The topic was created again, or moved to another cluster."""
    read = positions((0, 3), committed=100)
    assert read.advance(ORDERS, [0], None) == [Restarted(topic="orders.created", partition=0, expected=100, found=0)]
    assert read.lag(ORDERS) == 2


@pytest.mark.parametrize("watermarks", [(UNKNOWN, UNKNOWN), (-1001, -1001)])
def test_lag_is_unknown_before_the_first_fetch(watermarks: Watermarks) -> None:
    assert positions(watermarks, committed=3).lag(ORDERS) is None


def test_a_partition_that_is_no_longer_assigned_has_no_position() -> None:
    read = positions((0, 8))
    read.drop(ORDERS)
    assert read.advance(ORDERS, [0], 8) == []
    assert read.current() == {}
