"""Latency profiles: checked by the drawn numbers, never by measured time."""

from __future__ import annotations

from random import Random
from statistics import median
from typing import Any

import pytest

from stripe_sandbox.faults.latency import CAP_MS, STRIPE, Latencies, Profile, Spikes, profile_names
from stripe_sandbox.faults.matching import Target, operation_name
from tests.sandbox.raw_socket import pay, send_request
from tests.support.sandbox import SandboxProcess


def target(operation: str, method: str = "POST", **params: str) -> Target:
    return Target(method, "/v1/…", operation, None, params, (), "sk_test_1234")


CREATE = target("payment_intents.create")
CONFIRMED = target("payment_intents.create", confirm="true")
CONFIRM = target("payment_intents.confirm")
REFUND = target("refunds.create")
READ = target("payment_intents.retrieve", "GET")


def drawn(profile: Profile, count: int = 5000, seed: int = 1) -> list[float]:
    random = Random(seed)
    return sorted(profile.draw_ms(random) for _ in range(count))


def test_drawn_times_have_the_configured_median_and_p99() -> None:
    values = drawn(Profile(median_ms=500, p99_ms=2000))
    assert median(values) == pytest.approx(500, rel=0.05)
    assert values[int(len(values) * 0.99)] == pytest.approx(2000, rel=0.1)


def test_sigma_controls_the_spread() -> None:
    assert {round(time, 6) for time in drawn(Profile(median_ms=70))} == {70}
    narrow, wide = (drawn(Profile(median_ms=100, sigma=sigma)) for sigma in (0.1, 1.0))
    assert median(wide) == pytest.approx(median(narrow), rel=0.1)
    assert wide[-1] > 5 * narrow[-1]


def test_spikes_have_the_configured_rate_and_change_no_other_time() -> None:
    calm, spiky = (
        Profile(median_ms=10, sigma=0.1, spikes=spikes) for spikes in (None, Spikes(probability=0.1, ms=5000))
    )
    one, two = Random(5), Random(5)
    pairs = [(calm.draw_ms(one), spiky.draw_ms(two)) for _ in range(1000)]
    assert {round(high - low) for low, high in pairs} == {0, 5000}
    assert sum(high - low > 1 for low, high in pairs) == pytest.approx(100, abs=30)


def test_drawn_times_are_capped() -> None:
    assert drawn(Profile(median_ms=70_000, sigma=3))[-1] == CAP_MS


def test_stripe_profile_has_the_documented_medians_and_spikes() -> None:
    latencies = Latencies(STRIPE, 1)
    medians = {
        name: median(latencies.draw_ms(request) for _ in range(2000))
        for name, request in {
            "confirm": CONFIRM,
            "paid": CONFIRMED,
            "refund": REFUND,
            "create": CREATE,
            "read": READ,
        }.items()
    }
    assert medians["confirm"] == pytest.approx(1500, rel=0.1)
    assert medians["paid"] == pytest.approx(1500, rel=0.1)
    assert medians["refund"] == pytest.approx(500, rel=0.1)
    assert medians["create"] < 200
    assert medians["read"] < 100
    spikes = [time for time in (latencies.draw_ms(CONFIRM) for _ in range(2000)) if time > 10_000]
    assert 5 < len(spikes) < 60


def test_same_seed_gives_the_same_times_independent_of_other_requests() -> None:
    def times(seed: int, *between: Target) -> list[float]:
        latencies = Latencies(STRIPE, seed)
        found = []
        for _ in range(20):
            found.append(latencies.draw_ms(CONFIRM))
            for request in between:
                latencies.draw_ms(request)
        return found

    assert times(1) == times(1, READ, REFUND, CREATE)
    assert times(1) != times(2)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (CONFIRMED, ("authorizations", "payment_intents.create", "writes")),
        (CONFIRM, ("authorizations", "payment_intents.confirm", "writes")),
        (CREATE, ("payment_intents.create", "writes")),
        (READ, ("payment_intents.retrieve", "reads")),
    ],
)
def test_most_specific_profile_is_first(request_: Target, expected: tuple[str, ...]) -> None:
    assert profile_names(request_) == expected


def test_request_without_a_profile_is_not_delayed() -> None:
    assert Latencies({"reads": STRIPE["reads"]}, 0).draw_ms(CREATE) == 0


@pytest.mark.parametrize(
    ("method", "pattern", "name"),
    [
        ("POST", "/v1/payment_intents", "payment_intents.create"),
        ("GET", "/v1/payment_intents", "payment_intents.list"),
        ("GET", "/v1/payment_intents/{id}", "payment_intents.retrieve"),
        ("POST", "/v1/payment_intents/{id}", "payment_intents.update"),
        ("POST", "/v1/payment_intents/{id}/confirm", "payment_intents.confirm"),
        ("DELETE", "/v1/webhook_endpoints/{id}", "webhook_endpoints.delete"),
        ("GET", "/v1/charges/{id}/refunds", "charges.refunds.list"),
        ("GET", "/v1/charges/{id}/refunds/{refund}", "charges.refunds.retrieve"),
        ("GET", "/v1/balance", "balance.retrieve"),
    ],
)
def test_operations_have_the_names_used_by_the_sdks(method: str, pattern: str, name: str) -> None:
    assert operation_name(method, pattern) == name


def test_delayed_requests_are_answered(sandbox: SandboxProcess) -> None:
    profiles: dict[str, Any] = {"reads": {"median_ms": 1}, "authorizations": {"median_ms": 1, "p99_ms": 2}}
    sandbox.control("POST", "/sandbox/faults", {"latency": profiles})
    assert pay(sandbox.port, "slow").json["status"] == "succeeded"
    assert send_request(sandbox.port, "/v1/balance").status == 200


def test_latency_beyond_the_client_timeout_is_a_timeout(sandbox: SandboxProcess) -> None:
    sandbox.control("POST", "/sandbox/faults", {"latency": {"reads": {"median_ms": 80_000}}})
    assert send_request(sandbox.port, "/v1/balance", timeout_s=0.5).end == "timeout"
    assert pay(sandbox.port, "fast").status == 200


def test_stripe_profile_can_be_set_by_name(sandbox: SandboxProcess) -> None:
    sandbox.control("POST", "/sandbox/faults", {"latency": "stripe"})
    assert sandbox.control("GET", "/sandbox/faults")["latency"]["authorizations"]["median_ms"] == 1500
