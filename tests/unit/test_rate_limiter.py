"""Token buckets by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from payment_service.rate_limiter import NAMES_MAX, RateLimiter


def test_after_a_burst_there_is_one_for_each_span_and_each_name_has_its_own() -> None:
    now = 0.0
    allowance = RateLimiter(burst=3, every_s=2, clock=lambda: now)
    assert [allowance.spend("a") for _ in range(4)] == [0, 0, 0, 2]
    assert allowance.spend("b") == 0
    now += 2
    assert [allowance.spend("a") for _ in range(2)] == [0, 2]


def test_the_memory_is_bounded() -> None:
    allowance = RateLimiter(burst=1, every_s=1)
    for n in range(NAMES_MAX + 100):
        allowance.spend(f"name-{n}")
    assert len(allowance._buckets) == NAMES_MAX


@given(st.lists(st.integers(0, 5_000), max_size=60))
def test_never_more_than_the_burst_and_one_for_each_span_are_granted_and_whoever_waits_gets_one(
    gaps_ms: list[int],
) -> None:
    now = 0.0
    allowance = RateLimiter(burst=4, every_s=1.5, clock=lambda: now)
    granted = 0
    for gap_ms in gaps_ms:
        now += gap_ms / 1000
        wait_s = allowance.spend("a")
        granted += wait_s == 0
        assert granted <= 4 + now / 1.5
    wait_s = allowance.spend("a")
    now += wait_s
    assert wait_s == 0 or allowance.spend("a") == 0
