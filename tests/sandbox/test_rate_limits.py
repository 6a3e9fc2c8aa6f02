"""Rate limits: Stripe's numbers and reasons, on demand (https://docs.stripe.com/rate-limits)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_sandbox.errors import ApiError
from stripe_sandbox.wire.rate_limits import LimitedRequest, RateLimiter, RateLimits
from tests.sandbox.raw import Heard, ask, pay
from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

CREATE = "payment_intents.create"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limiter(clock: Clock, limits: Any) -> RateLimiter:
    return RateLimiter(RateLimits.model_validate(limits), clock)


def outcome(limiter: RateLimiter, operation: str = CREATE, *, live: bool = False, changes: str | None = None) -> str:
    """`ok`, or the reason of the refusal."""
    try:
        with limiter.admitted(LimitedRequest(live, operation, changes)):
            return "ok"
    except ApiError as error:
        return error.headers["Stripe-Rate-Limited-Reason"]


def test_a_test_account_has_25_requests_a_second_and_a_live_one_100() -> None:
    limits = limiter(Clock(), {"global_per_s": 25, "live_per_s": 100})
    assert [outcome(limits, f"o{i}") for i in range(26)] == ["ok"] * 25 + ["global-rate"]
    assert [outcome(limits, f"o{i}", live=True) for i in range(101)] == ["ok"] * 100 + ["global-rate"]


def test_an_endpoint_has_25_of_the_100_of_a_live_account() -> None:
    limits = limiter(Clock(), "stripe")
    assert [outcome(limits, live=True) for _ in range(26)] == ["ok"] * 25 + ["endpoint-rate"]
    assert outcome(limits, "refunds.create", live=True) == "ok"


def test_tokens_come_back_with_time_and_never_more_than_a_second_holds() -> None:
    clock = Clock()
    limits = limiter(clock, {"global_per_s": 10})
    assert [outcome(limits) for _ in range(11)].count("ok") == 10
    clock.now += 0.25
    assert [outcome(limits) for _ in range(4)] == ["ok", "ok", "global-rate", "global-rate"]
    clock.now += 3600
    assert [outcome(limits) for _ in range(11)].count("ok") == 10


@given(size=st.integers(1, 50), pauses_ms=st.lists(st.integers(0, 1500), max_size=300))
def test_no_stretch_of_time_sees_more_than_a_burst_and_its_rate(size: int, pauses_ms: list[int]) -> None:
    clock = Clock()
    limits = limiter(clock, {"global_per_s": size})
    passed: list[float] = []
    for pause_ms in pauses_ms:
        clock.now += pause_ms / 1000
        if outcome(limits) == "ok":
            passed.append(clock.now)
            assert all(i + 1 <= size * (1 + clock.now - then) + 1e-6 for i, then in enumerate(reversed(passed)))


def test_a_refused_request_takes_nothing_from_the_account() -> None:
    limits = limiter(Clock(), {"global_per_s": 3, "endpoint_per_s": 1})
    found = [outcome(limits, name) for name in ("a", "a", "a", "a", "b", "c", "d")]
    assert found == ["ok", "endpoint-rate", "endpoint-rate", "endpoint-rate", "ok", "ok", "global-rate"]
    assert limits.refused == {"endpoint-rate": 3, "global-rate": 1}


def test_an_intent_takes_1000_updates_an_hour() -> None:
    clock = Clock()
    limits = limiter(clock, {"updates_per_intent_per_hour": 1000})
    update = "payment_intents.update"
    assert [outcome(limits, update, changes="pi_1") for _ in range(1001)].count("ok") == 1000
    assert outcome(limits, update, changes="pi_1") == "resource-specific"
    assert outcome(limits, update, changes="pi_2") == "ok"
    assert outcome(limits, "payment_intents.confirm", changes="pi_1") == "ok"
    clock.now += 3.6
    assert outcome(limits, update, changes="pi_1") == "ok"


def test_places_are_taken_while_a_request_runs() -> None:
    limits = limiter(Clock(), {"global_concurrency": 2, "endpoint_concurrency": 1})
    with limits.admitted(LimitedRequest(live=False, operation=CREATE, changed_object=None)):
        assert outcome(limits) == "endpoint-concurrency"
        with limits.admitted(LimitedRequest(live=False, operation="refunds.create", changed_object=None)):
            assert outcome(limits, "events.list") == "global-concurrency"
        assert outcome(limits, "events.list") == "ok"
    assert outcome(limits) == "ok"


def test_without_numbers_nothing_is_limited() -> None:
    limits = limiter(Clock(), {})
    assert {outcome(limits) for _ in range(500)} == {"ok"}
    with limits.locked("pi_1"), limits.locked("pi_1"):
        assert not limits.refused


def test_full_buckets_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stripe_sandbox.wire.rate_limits.BUCKETS_LIMIT", 10)
    clock = Clock()
    limits = limiter(clock, {"updates_per_intent_per_hour": 1})
    for number in range(100):
        outcome(limits, "payment_intents.update", changes=f"pi_{number}")
        clock.now += 3600
    assert len(limits._buckets) <= 10


def set_limits(sandbox: SandboxProcess, limits: Any, *rules: dict[str, Any]) -> None:
    sandbox.control("POST", "/sandbox/faults", {"rate_limits": limits, "rules": rules})


def hang(**match: Any) -> dict[str, Any]:
    """A request that keeps its place and its lock."""
    return {"action": "hang", "seconds": 3600, "times": 1, "match": match}


def test_too_many_requests_are_refused_in_stripes_words(sandbox: SandboxProcess) -> None:
    set_limits(sandbox, {"global_per_s": 1, "retry_after_s": 2})

    def refused() -> Heard | None:
        heard = ask(sandbox.port, "/v1/balance")
        return heard if heard.status == 429 else None

    heard = eventually(refused)
    assert heard is not None
    error = heard.json["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "rate_limit")
    assert heard.headers["stripe-rate-limited-reason"] == "global-rate"
    assert heard.headers["retry-after"] == "2"
    assert "request-id" in heard.headers
    assert sandbox.control("GET", "/sandbox/faults")["rate_limits"]["refused"]["global-rate"] >= 1


def test_stripe_tells_nobody_when_to_come_back(sandbox: SandboxProcess) -> None:
    intent = pay(sandbox.port, "told").json["id"]
    set_limits(sandbox, {"updates_per_intent_per_hour": 1})
    path = f"/v1/payment_intents/{intent}"
    assert ask(sandbox.port, path, {"description": "1"}).status == 200
    heard = ask(sandbox.port, path, {"description": "2"})
    assert (heard.status, heard.headers["stripe-rate-limited-reason"]) == (429, "resource-specific")
    assert "retry-after" not in heard.headers


def test_a_refusal_of_the_limiter_is_not_kept_under_the_key(sandbox: SandboxProcess) -> None:
    set_limits(sandbox, {"global_concurrency": 1}, hang(method="GET"))
    ask(sandbox.port, "/v1/balance", patience_s=0.2)
    eventually(lambda: sandbox.faults_struck() == [1])
    refused = pay(sandbox.port, "limited", key="limited")
    assert (refused.status, refused.headers["stripe-rate-limited-reason"]) == (429, "global-concurrency")
    assert sandbox.captured("limited") == []

    sandbox.faults()
    heard = pay(sandbox.port, "limited", key="limited")
    assert (heard.status, heard.headers.get("idempotent-replayed")) == (200, None)


def test_two_changes_of_one_object_at_the_same_time_meet_a_lock(sandbox: SandboxProcess) -> None:
    """Reading goes on, other objects too; clients are asked to try again, and the refusal is not kept."""
    first, second = (pay(sandbox.port, f"locked-{i}").json for i in range(2))
    set_limits(sandbox, {"lock_timeouts": True}, hang(operation="payment_intents.update"))
    path = f"/v1/payment_intents/{first['id']}"
    assert ask(sandbox.port, path, {"description": "slow"}, patience_s=0.2).end == "silence"
    eventually(lambda: sandbox.faults_struck() == [1])

    heard = ask(sandbox.port, path, {"description": "fast"}, key="lock")
    refund = ask(sandbox.port, "/v1/refunds", {"charge": first["latest_charge"]})

    for one in (heard, refund):
        assert (one.status, one.json["error"]["code"]) == (429, "lock_timeout")
        assert one.headers["stripe-should-retry"] == "true"
        assert "stripe-rate-limited-reason" not in one.headers
    assert ask(sandbox.port, path).status == 200
    assert ask(sandbox.port, f"/v1/payment_intents/{second['id']}", {"description": "other"}).status == 200
    set_limits(sandbox, {"lock_timeouts": True})
    assert ask(sandbox.port, path, {"description": "fast"}, key="lock").json["description"] == "fast"


def test_limits_are_off_until_they_are_asked_for(sandbox: SandboxProcess) -> None:
    assert {ask(sandbox.port, "/v1/balance").status for _ in range(60)} == {200}


def test_stripes_limits_go_by_name(sandbox: SandboxProcess) -> None:
    set_limits(sandbox, "stripe")
    shown = sandbox.control("GET", "/sandbox/faults")["rate_limits"]
    assert (shown["global_per_s"], shown["live_per_s"], shown["endpoint_per_s"]) == (25, 100, 25)
    assert shown["lock_timeouts"] is True
