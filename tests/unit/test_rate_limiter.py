"""Token buckets by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from payment_service.rate_limiter import NAMES_MAX, LineFolder, RateLimiter


def test_each_name_gets_a_burst_and_then_one_token_per_interval() -> None:
    now = 0.0
    limiter = RateLimiter(burst=3, every_s=2, clock=lambda: now)
    assert [limiter.spend("a") for _ in range(4)] == [0, 0, 0, 2]
    assert limiter.spend("b") == 0
    now += 2
    assert [limiter.spend("a") for _ in range(2)] == [0, 2]


def test_the_number_of_buckets_is_bounded() -> None:
    limiter = RateLimiter(burst=1, every_s=1)
    for n in range(NAMES_MAX + 100):
        limiter.spend(f"name-{n}")
    assert len(limiter._buckets) == NAMES_MAX


@given(st.lists(st.integers(0, 5_000), max_size=60))
def test_grants_never_exceed_the_burst_plus_the_rate(
    gaps_ms: list[int],
) -> None:
    now = 0.0
    limiter = RateLimiter(burst=4, every_s=1.5, clock=lambda: now)
    granted = 0
    for gap_ms in gaps_ms:
        now += gap_ms / 1000
        wait_s = limiter.spend("a")
        granted += wait_s == 0
        assert granted <= 4 + now / 1.5
    wait_s = limiter.spend("a")
    now += wait_s
    assert wait_s == 0 or limiter.spend("a") == 0


def test_lines_of_a_kind_are_folded_and_the_next_one_counts_them() -> None:
    now = 0.0
    folder = LineFolder(every_s=60, clock=lambda: now)
    assert [folder.fields("FAIL") for _ in range(4)] == [{}, None, None, None]
    assert folder.fields("MAXPOLL") == {}
    now += 60
    assert [folder.fields("FAIL"), folder.fields("MAXPOLL")] == [{"folded": 3}, {}]
