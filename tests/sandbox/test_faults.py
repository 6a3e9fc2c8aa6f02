"""Fault rules: each request fails in the configured phase, and only there."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.raw_socket import PAYMENT, RawResponse, pay, send_request
from tests.support.sandbox import SandboxProcess

GOOD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
PAID: dict[str, Any] = {**GOOD, "payment_method": "pm_card_visa", "confirm": True}
ERROR = {"action": "server_error"}
GATEWAY = {"action": "bad_gateway"}
CONFLICT = {"action": "conflict"}
LIMIT = {"action": "rate_limited"}
LIMIT_WITH_DELAY = {"action": "rate_limited", "retry_after_s": 7}
TRUNCATED = {"action": "truncated"}
INCOMPLETE = {"action": "incomplete"}
DROP = {"action": "drop"}
RESET = {"action": "reset"}
HANG = {"action": "hang", "seconds": 0.1}
LATENCY = {"action": "latency", "ms": 10}

# phase, action → end of the response, status, kind of body, captures so far, response to a retry with the same key,
# captures after the retry
CELLS: list[tuple[str, dict[str, Any], str, int | None, str, int, str, int]] = [
    ("before", DROP, "closed", None, "empty", 0, "200 new", 1),
    ("before", RESET, "reset", None, "empty", 0, "200 new", 1),
    ("before", HANG, "closed", None, "empty", 0, "200 new", 1),
    ("before", LATENCY, "complete", 200, "json", 1, "200 replayed", 1),
    ("before", ERROR, "complete", 500, "json", 0, "200 new", 1),
    ("before", GATEWAY, "complete", 502, "html", 0, "200 new", 1),
    ("before", CONFLICT, "complete", 409, "json", 0, "200 new", 1),
    ("before", LIMIT, "complete", 429, "json", 0, "200 new", 1),
    ("before", LIMIT_WITH_DELAY, "complete", 429, "json", 0, "200 new", 1),
    ("before", TRUNCATED, "complete", 200, "truncated", 0, "200 new", 1),
    ("before", INCOMPLETE, "closed", 200, "truncated", 0, "200 new", 1),
    ("instead", ERROR, "complete", 500, "json", 0, "500 replayed", 0),
    ("instead", GATEWAY, "complete", 502, "html", 0, "200 new", 1),
    ("instead", CONFLICT, "complete", 409, "json", 0, "200 new", 1),
    ("instead", LIMIT, "complete", 429, "json", 0, "200 new", 1),
    ("instead", LIMIT_WITH_DELAY, "complete", 429, "json", 0, "200 new", 1),
    ("after", DROP, "closed", None, "empty", 1, "200 replayed", 1),
    ("after", RESET, "reset", None, "empty", 1, "200 replayed", 1),
    ("after", HANG, "closed", None, "empty", 1, "200 replayed", 1),
    ("after", LATENCY, "complete", 200, "json", 1, "200 replayed", 1),
    ("after", ERROR, "complete", 500, "json", 1, "500 replayed", 1),
    ("after", GATEWAY, "complete", 502, "html", 1, "200 replayed", 1),
    ("after", CONFLICT, "complete", 409, "json", 1, "200 replayed", 1),
    ("after", LIMIT, "complete", 429, "json", 1, "200 replayed", 1),
    ("after", LIMIT_WITH_DELAY, "complete", 429, "json", 1, "200 replayed", 1),
    ("after", TRUNCATED, "complete", 200, "truncated", 1, "200 replayed", 1),
    ("after", INCOMPLETE, "closed", 200, "truncated", 1, "200 replayed", 1),
    ("body", DROP, "closed", 200, "truncated", 1, "200 replayed", 1),
    ("body", RESET, "reset", 200, "truncated", 1, "200 replayed", 1),
    ("body", HANG, "closed", 200, "truncated", 1, "200 replayed", 1),
    ("body", LATENCY, "complete", 200, "json", 1, "200 replayed", 1),
    ("body", TRUNCATED, "complete", 200, "truncated", 1, "200 replayed", 1),
    ("body", INCOMPLETE, "closed", 200, "truncated", 1, "200 replayed", 1),
]


def cell_id(cell: tuple[Any, ...]) -> str:
    return f"{cell[0]}-{'-'.join(str(value) for value in cell[1].values())}"


def body_kind(response: RawResponse) -> str:
    """Return the kind of the response's body."""
    if not response.body:
        return "empty"
    if response.headers["content-type"].startswith("text/html"):
        return "html"
    return "json" if response.is_json else "truncated"


@pytest.mark.parametrize("cell", CELLS, ids=cell_id)
def test_each_fault_has_the_expected_result_and_retry(sandbox: SandboxProcess, cell: tuple[Any, ...]) -> None:
    """The key stores the operation's response or a 500, but no fault before the work or on the connection."""
    phase, action, end, status, body, captures, retry, all_captures = cell
    order = cell_id(cell)
    sandbox.faults({"phase": phase, **action, "times": 1})

    response = pay(sandbox.port, order, key=order)
    assert (response.end, response.status, body_kind(response)) == (end, status, body)
    assert len(sandbox.captured(order)) == captures

    response = pay(sandbox.port, order, key=order)
    replayed = "replayed" if response.headers.get("idempotent-replayed") == "true" else "new"
    assert f"{response.status} {replayed}" == retry
    assert len(sandbox.captured(order)) == all_captures
    assert sandbox.faults_struck() == [1]


@pytest.mark.parametrize(("phase", "status"), [("before", None), ("after", None), ("body", 200)])
def test_hang_sends_nothing(sandbox: SandboxProcess, phase: str, status: int | None) -> None:
    sandbox.faults({"phase": phase, "action": "hang", "seconds": 3600})

    response = pay(sandbox.port, f"no-response-{phase}")

    assert (response.end, response.status) == ("timeout", status)


def test_only_incomplete_announces_more_bytes_than_it_sends(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "truncated", "phase": "after", "times": 1}, {"action": "incomplete", "phase": "after"})

    truncated, incomplete = pay(sandbox.port, "truncated"), pay(sandbox.port, "incomplete")

    assert int(truncated.headers["content-length"]) == len(truncated.body)
    assert int(incomplete.headers["content-length"]) > len(incomplete.body) > 100
    assert truncated.body.startswith(b'{"id":"pi_3')
    assert "request-id" in incomplete.headers


def test_bad_gateway_page_has_no_stripe_headers(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "bad_gateway"})

    response = pay(sandbox.port, "proxy")

    assert response.body.startswith(b"<html>")
    assert not {"request-id", "stripe-version", "stripe-should-retry", "idempotency-key"} & response.headers.keys()


def test_rate_limit_has_the_configured_reason_and_retry_after(sandbox: SandboxProcess) -> None:
    sandbox.faults(
        {"action": "rate_limited", "times": 1},
        {"action": "rate_limited", "retry_after_s": 7, "reason": "endpoint-concurrency", "times": 1},
        {"action": "rate_limited", "reason": "lock_timeout", "times": 1},
        {"action": "rate_limited", "reason": None},
    )
    response = [pay(sandbox.port, "limited") for _ in range(4)]

    names = ("stripe-rate-limited-reason", "retry-after", "stripe-should-retry")
    assert [tuple(one.headers.get(name) for name in names) for one in response] == [
        ("global-rate", None, None),
        ("endpoint-concurrency", "7", None),
        (None, None, "true"),
        (None, None, None),
    ]
    codes = [one.json["error"]["code"] for one in response]
    assert codes == ["rate_limit", "rate_limit", "lock_timeout", "rate_limit"]


def test_conflict_tells_clients_to_retry(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "conflict"})
    response = pay(sandbox.port, "conflict")
    assert response.json["error"]["code"] == "idempotency_key_in_use"
    assert response.headers["stripe-should-retry"] == "true"


@pytest.mark.parametrize("phase", ["after", "body"])
def test_replayed_response_can_be_lost_and_is_replayed_again(sandbox: SandboxProcess, phase: str) -> None:
    first = pay(sandbox.port, f"lost-{phase}", key=f"lost-{phase}")
    sandbox.faults({"phase": phase, "action": "drop", "times": 1})

    assert pay(sandbox.port, f"lost-{phase}", key=f"lost-{phase}").end == "closed"
    again = pay(sandbox.port, f"lost-{phase}", key=f"lost-{phase}")

    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")


@pytest.mark.parametrize("phase", ["after", "body"])
def test_lost_decline_is_replayed(sandbox: SandboxProcess, phase: str) -> None:
    sandbox.faults({"phase": phase, "action": "drop", "times": 1})
    params = {**PAYMENT, "payment_method": "pm_card_visa_chargeDeclined"}
    key = f"declined-{phase}"

    response = [send_request(sandbox.port, "/v1/payment_intents", params, key=key) for _ in range(3)]

    assert [(one.end, one.status) for one in response[1:]] == [("complete", 402)] * 2
    assert response[0].end == "closed"
    assert response[1].json == response[2].json
    assert response[1].headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("phase", ["before", "instead", "after", "body"])
def test_invalid_request_does_not_use_up_its_key(sandbox: SandboxProcess, phase: str) -> None:
    action = "drop" if phase == "body" else "server_error"
    sandbox.faults({"phase": phase, "action": action, "times": 1})
    key = f"invalid-{phase}"
    send_request(sandbox.port, "/v1/payment_intents", {**PAYMENT, "color": "red"}, key=key)
    sandbox.faults()

    response = pay(sandbox.port, key, key=key)

    assert (response.status, response.headers.get("idempotent-replayed")) == (200, None)


@pytest.mark.parametrize(("phase", "taken"), [("instead", 0), ("after", 1)])
def test_sticky_500_survives_kill_9_but_its_rule_does_not(own_sandbox: SandboxProcess, phase: str, taken: int) -> None:
    own_sandbox.start()
    own_sandbox.faults({"phase": phase, "action": "server_error"})
    first = pay(own_sandbox.port, "sticky", key="sticky")
    own_sandbox.kill()
    own_sandbox.start()

    again = pay(own_sandbox.port, "sticky", key="sticky")
    assert (first.status, again.status, again.body) == (500, 500, first.body)
    assert len(own_sandbox.captured("sticky")) == taken
    assert pay(own_sandbox.port, "other").status == 200


def test_key_can_be_replayed_while_the_first_response_hangs(sandbox: SandboxProcess) -> None:
    """When the body hangs, the work has already finished."""
    sandbox.faults({"phase": "body", "action": "hang", "seconds": 3600, "times": 1})
    assert pay(sandbox.port, "hanging", key="hanging").end == "timeout"
    assert pay(sandbox.port, "hanging", key="hanging").headers["idempotent-replayed"] == "true"


def test_injected_500_on_a_replay_does_not_replace_the_stored_response(sandbox: SandboxProcess) -> None:
    first = pay(sandbox.port, "kept", key="kept")
    sandbox.faults({"phase": "after", "action": "server_error", "times": 1})

    assert pay(sandbox.port, "kept", key="kept").status == 500
    assert pay(sandbox.port, "kept", key="kept").json == first.json


def test_rule_is_not_used_up_by_requests_it_cannot_affect(sandbox: SandboxProcess) -> None:
    """Rejected and replayed requests never reach the phase `instead`."""
    pay(sandbox.port, "spared", key="spared")
    sandbox.faults({"phase": "instead", "action": "server_error", "times": 1})

    assert pay(sandbox.port, "spared", key="spared").status == 200
    assert send_request(sandbox.port, "/v1/payment_intents", {"amount": "many"}).status == 400
    assert sandbox.faults_struck() == [0]
    assert pay(sandbox.port, "injected").status == 500


@pytest.mark.parametrize(("sticky", "again"), [(True, 503), (False, 200)])
def test_sticky_can_be_configured(sandbox: SandboxProcess, sticky: bool, again: int) -> None:
    rule = {"phase": "after", "action": "status", "code": 503, "sticky": sticky, "times": 1}
    sandbox.faults(rule)
    key = f"sticky-{sticky}"

    assert [pay(sandbox.port, key, key=key).status for _ in range(2)] == [503, again]
    assert len(sandbox.captured(key)) == 1


MATCHES: list[tuple[dict[str, Any], bool]] = [
    ({"method": "post"}, True),
    ({"method": "GET"}, False),
    ({"path_prefix": "/v1/payment_"}, True),
    ({"path": "/v1/payment_intents"}, True),
    ({"path": "/v1/payment_intents/*"}, False),
    ({"path": "/v1/*intents"}, True),
    ({"operation": "payment_intents.create"}, True),
    ({"operation": "payment_intents.*"}, True),
    ({"operation": "payment_intents.confirm"}, False),
    ({"key": "aimed"}, True),
    ({"key_prefix": "aim"}, True),
    ({"key_prefix": "mia"}, False),
    ({"metadata": {"order_id": "aimed"}}, True),
    ({"metadata": {"order_id": "aimed", "other": "1"}}, False),
    ({"amount": 1000}, True),
    ({"amount": 1001}, False),
    ({"amount_min": 1000, "amount_max": 1000}, True),
    ({"amount_min": 1001}, False),
    ({"amount_max": 999}, False),
    ({"currency": "USD"}, True),
    ({"currency": "eur"}, False),
    ({"customer": "cus_1"}, False),
    ({"api_key": "sk_test_sandbox_suite"}, True),
    ({"api_key": "sk_test_another"}, False),
]


@pytest.mark.parametrize(("match", "hit"), MATCHES, ids=str)
def test_rule_matches_properties_of_the_request(sandbox: SandboxProcess, match: dict[str, Any], hit: bool) -> None:
    sandbox.faults({"match": match, "action": "status", "code": 503})
    assert (pay(sandbox.port, "aimed", key="aimed").status == 503) is hit


@pytest.mark.parametrize(
    ("match", "hit"),
    [({"amount": 1000}, True), ({"amount_max": 999}, False), ({"currency": "usd"}, True),
     ({"metadata": {"order_id": "behind"}}, True), ({"operation": "payment_intents.update"}, True)],
)  # fmt: skip
def test_rule_matches_the_object_of_the_request(sandbox: SandboxProcess, match: dict[str, Any], hit: bool) -> None:
    intent = pay(sandbox.port, "behind").json["id"]
    sandbox.faults({"match": match, "action": "status", "code": 503})
    response = send_request(sandbox.port, f"/v1/payment_intents/{intent}", {"description": "x"})
    assert (response.status == 503) is hit


def test_rule_matches_the_customer_of_the_request_or_its_intent(sandbox: SandboxProcess) -> None:
    customer = send_request(sandbox.port, "/v1/customers", {"name": "Ada"}).json["id"]
    params = {"amount": "1000", "currency": "usd", "customer": customer}
    intent = send_request(sandbox.port, "/v1/payment_intents", params).json["id"]
    sandbox.faults({"match": {"customer": customer}, "action": "status", "code": 503})

    assert send_request(sandbox.port, "/v1/payment_intents", params).status == 503
    assert send_request(sandbox.port, f"/v1/payment_intents/{intent}").status == 503
    assert pay(sandbox.port, "nobody").status == 200


def test_rule_skips_the_first_requests_and_counts_matches(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "server_error", "after": 2, "times": 1})

    assert [pay(sandbox.port, "spared").status for _ in range(4)] == [200, 200, 500, 200]
    (rule,) = sandbox.control("GET", "/sandbox/faults")["rules"]
    assert (rule["matched"], rule["injected"], rule["left"]) == (4, 1, 0)


@pytest.mark.parametrize("action", ["drop", "reset", "hang"])
@pytest.mark.parametrize(("phase", "captures"), [("before", 0), ("after", 1)])
def test_retry_after_a_closed_connection_charges_once(
    client: Any, sandbox: SandboxProcess, action: str, phase: str, captures: int
) -> None:
    order = {"order_id": f"{action}-{phase}"}
    sandbox.faults({"action": action, "phase": phase, "seconds": 0.1, "times": 1})
    params = {**PAID, "metadata": order}
    options = {"idempotency_key": f"{action}-{phase}"}

    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create(params, options)
    assert len(sandbox.captured(order["order_id"])) == captures

    assert client.v1.payment_intents.create(params, options).status == "succeeded"
    assert len(sandbox.captured(order["order_id"])) == 1


def test_rule_does_not_affect_other_requests(client: Any, sandbox: SandboxProcess) -> None:
    aims: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"metadata": {"order_id": "7"}}, {"order_id": "7"}, "any"),
        ({"key": "create:7"}, {}, "create:7"),
        ({"key_prefix": "create:8"}, {}, "create:8:1"),
        ({"method": "POST", "path_prefix": "/v1/payment_intents"}, {}, "other"),
    ]
    for match, metadata, key in aims:
        sandbox.faults({"match": match, "action": "status", "code": 503})
        assert client.v1.payment_intents.list().object == "list" or match == {}
        with pytest.raises(stripe.APIError):
            client.v1.payment_intents.create({**GOOD, "metadata": metadata}, {"idempotency_key": key})
        if "path_prefix" not in match:
            client.v1.payment_intents.create({**GOOD, "metadata": {"order_id": "9"}})


def test_metadata_rule_matches_later_requests_for_the_intent(client: Any, sandbox: SandboxProcess) -> None:
    intent = client.v1.payment_intents.create({**GOOD, "metadata": {"order_id": "followed"}})
    sandbox.faults({"match": {"metadata": {"order_id": "followed"}}, "action": "status", "code": 503})

    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.retrieve(intent.id)


def test_rule_applies_the_configured_number_of_times(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "status", "code": 503, "times": 2}, {"action": "status", "code": 429, "times": 1})
    statuses = []
    for _ in range(3):
        with pytest.raises(stripe.StripeError) as caught:
            client.v1.balance.retrieve()
        statuses.append(caught.value.http_status)

    assert statuses == [503, 503, 429]
    assert sandbox.faults_struck() == [2, 1]
    assert client.v1.balance.retrieve().object == "balance"


def test_status_action_sets_code_headers_and_body(client: Any, sandbox: SandboxProcess) -> None:
    html = {"Content-Type": "text/html"}
    sandbox.faults({"action": "status", "code": 502, "body": "<h1>Bad gateway</h1>", "headers": html})

    with pytest.raises(stripe.APIError) as caught:
        client.v1.balance.retrieve()

    assert (caught.value.http_status, caught.value.http_body) == (502, "<h1>Bad gateway</h1>")


def test_status_403_raises_a_permission_error(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "status", "code": 403, "match": {"method": "POST"}})
    with pytest.raises(stripe.PermissionError):
        client.v1.payment_intents.create(GOOD)


def test_clearing_removes_all_faults(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "drop"}, webhooks={"duplicate": 3})
    sandbox.control("DELETE", "/sandbox/faults")

    assert client.v1.balance.retrieve().object == "balance"
    assert sandbox.control("GET", "/sandbox/faults")["webhooks"]["duplicate"] == 0
