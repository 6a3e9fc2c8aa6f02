"""Rate limits with Stripe's numbers and reasons (https://docs.stripe.com/rate-limits)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_sandbox.errors import ApiError
from stripe_sandbox.wire.rate_limits import LimitedRequest, RateLimiter, RateLimits
from tests.sandbox.raw_socket import RawResponse, pay, send_request
from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

CREATE = "payment_intents.create"


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limiter(clock: Clock, limits: Any) -> RateLimiter:
    return RateLimiter(RateLimits.model_validate(limits), clock)


def outcome(limiter: RateLimiter, operation: str = CREATE, *, live: bool = False, changes: str | None = None) -> str:
    """Return `ok`, or the reason for the rejection."""
    try:
        with limiter.admitted(LimitedRequest(live, operation, changes)):
            return "ok"
    except ApiError as error:
        return error.headers["Stripe-Rate-Limited-Reason"]


def test_global_limit_differs_for_test_and_live_accounts() -> None:
    limits = limiter(Clock(), {"global_per_s": 25, "live_per_s": 100})
    assert [outcome(limits, f"o{i}") for i in range(26)] == ["ok"] * 25 + ["global-rate"]
    assert [outcome(limits, f"o{i}", live=True) for i in range(101)] == ["ok"] * 100 + ["global-rate"]


def test_endpoint_limit_is_25_per_second() -> None:
    limits = limiter(Clock(), "stripe")
    assert [outcome(limits, live=True) for _ in range(26)] == ["ok"] * 25 + ["endpoint-rate"]
    assert outcome(limits, "refunds.create", live=True) == "ok"


def test_tokens_are_refilled_up_to_one_second() -> None:
    clock = Clock()
    limits = limiter(clock, {"global_per_s": 10})
    assert [outcome(limits) for _ in range(11)].count("ok") == 10
    clock.now += 0.25
    assert [outcome(limits) for _ in range(4)] == ["ok", "ok", "global-rate", "global-rate"]
    clock.now += 3600
    assert [outcome(limits) for _ in range(11)].count("ok") == 10


@given(size=st.integers(1, 50), pauses_ms=st.lists(st.integers(0, 1500), max_size=300))
def test_no_interval_exceeds_the_burst_plus_the_rate(size: int, pauses_ms: list[int]) -> None:
    clock = Clock()
    limits = limiter(clock, {"global_per_s": size})
    passed: list[float] = []
    for pause_ms in pauses_ms:
        clock.now += pause_ms / 1000
        if outcome(limits) == "ok":
            passed.append(clock.now)
            assert all(i + 1 <= size * (1 + clock.now - then) + 1e-6 for i, then in enumerate(reversed(passed)))


def test_rejected_request_does_not_use_the_global_limit() -> None:
    limits = limiter(Clock(), {"global_per_s": 3, "endpoint_per_s": 1})
    found = [outcome(limits, name) for name in ("a", "a", "a", "a", "b", "c", "d")]
    assert found == ["ok", "endpoint-rate", "endpoint-rate", "endpoint-rate", "ok", "ok", "global-rate"]
    assert limits.refused == {"endpoint-rate": 3, "global-rate": 1}


def test_intent_accepts_1000_updates_per_hour() -> None:
    clock = Clock()
    limits = limiter(clock, {"updates_per_intent_per_hour": 1000})
    update = "payment_intents.update"
    assert [outcome(limits, update, changes="pi_1") for _ in range(1001)].count("ok") == 1000
    assert outcome(limits, update, changes="pi_1") == "resource-specific"
    assert outcome(limits, update, changes="pi_2") == "ok"
    assert outcome(limits, "payment_intents.confirm", changes="pi_1") == "ok"
    clock.now += 3.6
    assert outcome(limits, update, changes="pi_1") == "ok"


def test_concurrency_limits_count_running_requests() -> None:
    limits = limiter(Clock(), {"global_concurrency": 2, "endpoint_concurrency": 1})
    with limits.admitted(LimitedRequest(live=False, operation=CREATE, changed_object=None)):
        assert outcome(limits) == "endpoint-concurrency"
        with limits.admitted(LimitedRequest(live=False, operation="refunds.create", changed_object=None)):
            assert outcome(limits, "events.list") == "global-concurrency"
        assert outcome(limits, "events.list") == "ok"
    assert outcome(limits) == "ok"


def test_no_limits_apply_without_configuration() -> None:
    limits = limiter(Clock(), {})
    assert {outcome(limits) for _ in range(500)} == {"ok"}
    with limits.locked("pi_1"), limits.locked("pi_1"):
        assert not limits.refused


def test_full_buckets_are_evicted_above_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """Return a rule whose request keeps its concurrency slot and lock."""
    return {"action": "hang", "seconds": 3600, "times": 1, "match": match}


def test_rate_limited_request_gets_stripes_error(sandbox: SandboxProcess) -> None:
    set_limits(sandbox, {"global_per_s": 1, "retry_after_s": 2})

    def refused() -> RawResponse | None:
        response = send_request(sandbox.port, "/v1/balance")
        return response if response.status == 429 else None

    response = eventually(refused)
    assert response is not None
    error = response.json["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "rate_limit")
    assert response.headers["stripe-rate-limited-reason"] == "global-rate"
    assert response.headers["retry-after"] == "2"
    assert "request-id" in response.headers
    assert sandbox.control("GET", "/sandbox/faults")["rate_limits"]["refused"]["global-rate"] >= 1


def test_rate_limit_has_no_retry_after_by_default(sandbox: SandboxProcess) -> None:
    intent = pay(sandbox.port, "updated").json["id"]
    set_limits(sandbox, {"updates_per_intent_per_hour": 1})
    path = f"/v1/payment_intents/{intent}"
    assert send_request(sandbox.port, path, {"description": "1"}).status == 200
    response = send_request(sandbox.port, path, {"description": "2"})
    assert (response.status, response.headers["stripe-rate-limited-reason"]) == (429, "resource-specific")
    assert "retry-after" not in response.headers


def test_rate_limited_response_is_not_stored_under_the_key(sandbox: SandboxProcess) -> None:
    set_limits(sandbox, {"global_concurrency": 1}, hang(method="GET"))
    send_request(sandbox.port, "/v1/balance", timeout_s=0.2)
    eventually(lambda: sandbox.faults_struck() == [1])
    refused = pay(sandbox.port, "limited", key="limited")
    assert (refused.status, refused.headers["stripe-rate-limited-reason"]) == (429, "global-concurrency")
    assert sandbox.captured("limited") == []

    sandbox.faults()
    response = pay(sandbox.port, "limited", key="limited")
    assert (response.status, response.headers.get("idempotent-replayed")) == (200, None)


def test_concurrent_change_of_the_same_object_is_a_lock_timeout(sandbox: SandboxProcess) -> None:
    """Reads and other objects are not affected. The error asks clients to retry and is not stored."""
    first, second = (pay(sandbox.port, f"locked-{i}").json for i in range(2))
    set_limits(sandbox, {"lock_timeouts": True}, hang(operation="payment_intents.update"))
    path = f"/v1/payment_intents/{first['id']}"
    assert send_request(sandbox.port, path, {"description": "slow"}, timeout_s=0.2).end == "timeout"
    eventually(lambda: sandbox.faults_struck() == [1])

    response = send_request(sandbox.port, path, {"description": "fast"}, key="lock")
    refund = send_request(sandbox.port, "/v1/refunds", {"charge": first["latest_charge"]})

    for one in (response, refund):
        assert (one.status, one.json["error"]["code"]) == (429, "lock_timeout")
        assert one.headers["stripe-should-retry"] == "true"
        assert "stripe-rate-limited-reason" not in one.headers
    assert send_request(sandbox.port, path).status == 200
    assert send_request(sandbox.port, f"/v1/payment_intents/{second['id']}", {"description": "other"}).status == 200
    set_limits(sandbox, {"lock_timeouts": True})
    assert send_request(sandbox.port, path, {"description": "fast"}, key="lock").json["description"] == "fast"


def test_limits_are_off_by_default(sandbox: SandboxProcess) -> None:
    assert {send_request(sandbox.port, "/v1/balance").status for _ in range(60)} == {200}


def test_stripe_limits_can_be_set_by_name(sandbox: SandboxProcess) -> None:
    set_limits(sandbox, "stripe")
    shown = sandbox.control("GET", "/sandbox/faults")["rate_limits"]
    assert (shown["global_per_s"], shown["live_per_s"], shown["endpoint_per_s"]) == (25, 100, 25)
    assert shown["lock_timeouts"] is True
