"""Faults: a request goes wrong at the point that was asked for, and nowhere else."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
import stripe

from tests.support.sandbox import SandboxProcess

GOOD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
PAID: dict[str, Any] = {**GOOD, "payment_method": "pm_card_visa", "confirm": True}


@pytest.mark.parametrize("action", ["drop", "reset", "hang"])
@pytest.mark.parametrize(("phase", "captures"), [("before", 0), ("after", 1)])
def test_a_connection_that_ends_before_or_after_the_work(
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


def test_a_rule_aims_by_method_path_metadata_and_key(client: Any, sandbox: SandboxProcess) -> None:
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


def test_a_rule_about_metadata_follows_the_intent(client: Any, sandbox: SandboxProcess) -> None:
    intent = client.v1.payment_intents.create({**GOOD, "metadata": {"order_id": "followed"}})
    sandbox.faults({"match": {"metadata": {"order_id": "followed"}}, "action": "status", "code": 503})

    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.retrieve(intent.id)


def test_a_rule_strikes_as_often_as_it_says(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "status", "code": 503, "times": 2}, {"action": "status", "code": 429, "times": 1})
    statuses = []
    for _ in range(3):
        with pytest.raises(stripe.StripeError) as caught:
            client.v1.balance.retrieve()
        statuses.append(caught.value.http_status)

    assert statuses == [503, 503, 429]
    assert sandbox.faults_struck() == [2, 1]
    assert client.v1.balance.retrieve().object == "balance"


def test_an_answer_can_be_anything(client: Any, sandbox: SandboxProcess) -> None:
    html = {"Content-Type": "text/html"}
    sandbox.faults({"action": "status", "code": 502, "body": "<h1>Bad gateway</h1>", "headers": html})

    with pytest.raises(stripe.APIError) as caught:
        client.v1.balance.retrieve()

    assert (caught.value.http_status, caught.value.http_body) == (502, "<h1>Bad gateway</h1>")


def test_a_forbidden_call_is_403(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "status", "code": 403, "match": {"method": "POST"}})
    with pytest.raises(stripe.PermissionError):
        client.v1.payment_intents.create(GOOD)


def test_clearing_ends_all_faults(client: Any, sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "drop"}, webhooks={"duplicate": 3})
    sandbox.control("DELETE", "/sandbox/faults")

    assert client.v1.balance.retrieve().object == "balance"
    assert sandbox.control("GET", "/sandbox/faults")["webhooks"]["duplicate"] == 0


@pytest.mark.parametrize(
    "body",
    ["", "[]", '{"rules": [{}]}', '{"rules": [{"action": "explode"}]}', '{"rules": [{"action": "drop", "colour": 1}]}',
     '{"rules": [{"action": "drop", "phase": "instead"}]}'],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(sandbox: SandboxProcess, body: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
    connection.request("POST", "/sandbox/faults", body)
    assert connection.getresponse().status == 400
    connection.close()
