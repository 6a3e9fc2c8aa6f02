"""Faults: a request goes wrong at the point that was asked for, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.raw import PAYMENT, Heard, ask, pay
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

# What the client hears: how the answer ends, its status, what its body is. Then the payments taken by then,
# the answer to the same key sent again, and the payments taken in all.
CELLS: list[tuple[str, dict[str, Any], str, int | None, str, int, str, int]] = [
    ("before", DROP, "closed", None, "nothing", 0, "200 new", 1),
    ("before", RESET, "reset", None, "nothing", 0, "200 new", 1),
    ("before", HANG, "closed", None, "nothing", 0, "200 new", 1),
    ("before", LATENCY, "whole", 200, "json", 1, "200 replayed", 1),
    ("before", ERROR, "whole", 500, "json", 0, "200 new", 1),
    ("before", GATEWAY, "whole", 502, "html", 0, "200 new", 1),
    ("before", CONFLICT, "whole", 409, "json", 0, "200 new", 1),
    ("before", LIMIT, "whole", 429, "json", 0, "200 new", 1),
    ("before", LIMIT_WITH_DELAY, "whole", 429, "json", 0, "200 new", 1),
    ("before", TRUNCATED, "whole", 200, "torn", 0, "200 new", 1),
    ("before", INCOMPLETE, "closed", 200, "torn", 0, "200 new", 1),
    ("instead", ERROR, "whole", 500, "json", 0, "500 replayed", 0),
    ("instead", GATEWAY, "whole", 502, "html", 0, "200 new", 1),
    ("instead", CONFLICT, "whole", 409, "json", 0, "200 new", 1),
    ("instead", LIMIT, "whole", 429, "json", 0, "200 new", 1),
    ("instead", LIMIT_WITH_DELAY, "whole", 429, "json", 0, "200 new", 1),
    ("after", DROP, "closed", None, "nothing", 1, "200 replayed", 1),
    ("after", RESET, "reset", None, "nothing", 1, "200 replayed", 1),
    ("after", HANG, "closed", None, "nothing", 1, "200 replayed", 1),
    ("after", LATENCY, "whole", 200, "json", 1, "200 replayed", 1),
    ("after", ERROR, "whole", 500, "json", 1, "500 replayed", 1),
    ("after", GATEWAY, "whole", 502, "html", 1, "200 replayed", 1),
    ("after", CONFLICT, "whole", 409, "json", 1, "200 replayed", 1),
    ("after", LIMIT, "whole", 429, "json", 1, "200 replayed", 1),
    ("after", LIMIT_WITH_DELAY, "whole", 429, "json", 1, "200 replayed", 1),
    ("after", TRUNCATED, "whole", 200, "torn", 1, "200 replayed", 1),
    ("after", INCOMPLETE, "closed", 200, "torn", 1, "200 replayed", 1),
    ("body", DROP, "closed", 200, "torn", 1, "200 replayed", 1),
    ("body", RESET, "reset", 200, "torn", 1, "200 replayed", 1),
    ("body", HANG, "closed", 200, "torn", 1, "200 replayed", 1),
    ("body", LATENCY, "whole", 200, "json", 1, "200 replayed", 1),
    ("body", TRUNCATED, "whole", 200, "torn", 1, "200 replayed", 1),
    ("body", INCOMPLETE, "closed", 200, "torn", 1, "200 replayed", 1),
]


def named(cell: tuple[Any, ...]) -> str:
    return f"{cell[0]}-{'-'.join(str(value) for value in cell[1].values())}"


def kind(heard: Heard) -> str:
    """What a client makes of the body."""
    if not heard.body:
        return "nothing"
    if heard.headers["content-type"].startswith("text/html"):
        return "html"
    return "json" if heard.is_json else "torn"


@pytest.mark.parametrize("cell", CELLS, ids=named)
def test_every_fault_at_every_moment_and_what_the_key_remembers(sandbox: SandboxProcess, cell: tuple[Any, ...]) -> None:
    """Kept under a key is what the operation answered and a 500, never what went wrong before or on the way."""
    phase, action, end, status, body, taken, again, taken_in_all = cell
    order = named(cell)
    sandbox.faults({"phase": phase, **action, "times": 1})

    heard = pay(sandbox.port, order, key=order)
    assert (heard.end, heard.status, kind(heard)) == (end, status, body)
    assert len(sandbox.captured(order)) == taken

    heard = pay(sandbox.port, order, key=order)
    replayed = "replayed" if heard.headers.get("idempotent-replayed") == "true" else "new"
    assert f"{heard.status} {replayed}" == again
    assert len(sandbox.captured(order)) == taken_in_all
    assert sandbox.faults_struck() == [1]


@pytest.mark.parametrize(("phase", "status"), [("before", None), ("after", None), ("body", 200)])
def test_a_hang_is_silence(sandbox: SandboxProcess, phase: str, status: int | None) -> None:
    sandbox.faults({"phase": phase, "action": "hang", "seconds": 3600})

    heard = pay(sandbox.port, f"silent-{phase}")

    assert (heard.end, heard.status) == ("silence", status)


def test_a_torn_answer_announces_its_own_length_or_more(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "truncated", "phase": "after", "times": 1}, {"action": "incomplete", "phase": "after"})

    truncated, incomplete = pay(sandbox.port, "torn-1"), pay(sandbox.port, "torn-2")

    assert int(truncated.headers["content-length"]) == len(truncated.body)
    assert int(incomplete.headers["content-length"]) > len(incomplete.body) > 100
    assert truncated.body.startswith(b'{"id":"pi_3')
    assert "request-id" in incomplete.headers


def test_the_page_of_a_proxy_bears_none_of_stripes_headers(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "bad_gateway"})

    heard = pay(sandbox.port, "proxy")

    assert heard.body.startswith(b"<html>")
    assert not {"request-id", "stripe-version", "stripe-should-retry", "idempotency-key"} & heard.headers.keys()


def test_a_limit_names_its_reason_and_when_to_come_back_if_asked_to(sandbox: SandboxProcess) -> None:
    sandbox.faults(
        {"action": "rate_limited", "times": 1},
        {"action": "rate_limited", "retry_after_s": 7, "reason": "endpoint-concurrency", "times": 1},
        {"action": "rate_limited", "reason": "lock_timeout", "times": 1},
        {"action": "rate_limited", "reason": None},
    )
    heard = [pay(sandbox.port, "limited") for _ in range(4)]

    names = ("stripe-rate-limited-reason", "retry-after", "stripe-should-retry")
    assert [tuple(one.headers.get(name) for name in names) for one in heard] == [
        ("global-rate", None, None),
        ("endpoint-concurrency", "7", None),
        (None, None, "true"),
        (None, None, None),
    ]
    codes = [one.json["error"]["code"] for one in heard]
    assert codes == ["rate_limit", "rate_limit", "lock_timeout", "rate_limit"]


def test_a_conflict_asks_for_another_try(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "conflict"})
    heard = pay(sandbox.port, "conflict")
    assert heard.json["error"]["code"] == "idempotency_key_in_use"
    assert heard.headers["stripe-should-retry"] == "true"


@pytest.mark.parametrize("phase", ["after", "body"])
def test_an_answer_that_is_replayed_can_be_lost_too_and_stays(sandbox: SandboxProcess, phase: str) -> None:
    first = pay(sandbox.port, f"lost-{phase}", key=f"lost-{phase}")
    sandbox.faults({"phase": phase, "action": "drop", "times": 1})

    assert pay(sandbox.port, f"lost-{phase}", key=f"lost-{phase}").end == "closed"
    again = pay(sandbox.port, f"lost-{phase}", key=f"lost-{phase}")

    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")


@pytest.mark.parametrize("phase", ["after", "body"])
def test_a_decline_that_was_lost_on_the_way_is_the_answer_for_ever(sandbox: SandboxProcess, phase: str) -> None:
    sandbox.faults({"phase": phase, "action": "drop", "times": 1})
    params = {**PAYMENT, "payment_method": "pm_card_visa_chargeDeclined"}
    key = f"declined-{phase}"

    heard = [ask(sandbox.port, "/v1/payment_intents", params, key=key) for _ in range(3)]

    assert [(one.end, one.status) for one in heard[1:]] == [("whole", 402)] * 2
    assert heard[0].end == "closed"
    assert heard[1].json == heard[2].json
    assert heard[1].headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("phase", ["before", "instead", "after", "body"])
def test_a_request_that_never_was_valid_leaves_its_key_free(sandbox: SandboxProcess, phase: str) -> None:
    action = "drop" if phase == "body" else "server_error"
    sandbox.faults({"phase": phase, "action": action, "times": 1})
    key = f"invalid-{phase}"
    ask(sandbox.port, "/v1/payment_intents", {**PAYMENT, "colour": "red"}, key=key)
    sandbox.faults()

    heard = pay(sandbox.port, key, key=key)

    assert (heard.status, heard.headers.get("idempotent-replayed")) == (200, None)


@pytest.mark.parametrize(("phase", "taken"), [("instead", 0), ("after", 1)])
def test_a_sticky_500_outlives_kill_9_and_its_rule_does_not(
    own_sandbox: SandboxProcess, phase: str, taken: int
) -> None:
    own_sandbox.start()
    own_sandbox.faults({"phase": phase, "action": "server_error"})
    first = pay(own_sandbox.port, "sticky", key="sticky")
    own_sandbox.kill()
    own_sandbox.start()

    again = pay(own_sandbox.port, "sticky", key="sticky")
    assert (first.status, again.status, again.body) == (500, 500, first.body)
    assert len(own_sandbox.captured("sticky")) == taken
    assert pay(own_sandbox.port, "other").status == 200


def test_a_key_is_free_again_while_the_answer_still_trickles(sandbox: SandboxProcess) -> None:
    """In the middle of the body the work is long done."""
    sandbox.faults({"phase": "body", "action": "hang", "seconds": 3600, "times": 1})
    assert pay(sandbox.port, "trickle", key="trickle").end == "silence"
    assert pay(sandbox.port, "trickle", key="trickle").headers["idempotent-replayed"] == "true"


def test_a_500_on_the_way_of_a_replay_does_not_replace_what_is_kept(sandbox: SandboxProcess) -> None:
    first = pay(sandbox.port, "kept", key="kept")
    sandbox.faults({"phase": "after", "action": "server_error", "times": 1})

    assert pay(sandbox.port, "kept", key="kept").status == 500
    assert pay(sandbox.port, "kept", key="kept").json == first.json


def test_what_has_no_occasion_to_strike_is_not_used_up(sandbox: SandboxProcess) -> None:
    """A request that is refused, or replayed, never comes to the moment at which the work would be replaced."""
    pay(sandbox.port, "spared", key="spared")
    sandbox.faults({"phase": "instead", "action": "server_error", "times": 1})

    assert pay(sandbox.port, "spared", key="spared").status == 200
    assert ask(sandbox.port, "/v1/payment_intents", {"amount": "many"}).status == 400
    assert sandbox.faults_struck() == [0]
    assert pay(sandbox.port, "struck").status == 500


@pytest.mark.parametrize(("sticky", "again"), [(True, 503), (False, 200)])
def test_stickiness_can_be_chosen(sandbox: SandboxProcess, sticky: bool, again: int) -> None:
    rule = {"phase": "after", "action": "status", "code": 503, "sticky": sticky, "times": 1}
    sandbox.faults(rule)
    key = f"sticky-{sticky}"

    assert [pay(sandbox.port, key, key=key).status for _ in range(2)] == [503, again]
    assert len(sandbox.captured(key)) == 1


AIMS: list[tuple[dict[str, Any], bool]] = [
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


@pytest.mark.parametrize(("match", "hit"), AIMS, ids=str)
def test_a_rule_aims_at_what_a_request_is_and_carries(
    sandbox: SandboxProcess, match: dict[str, Any], hit: bool
) -> None:
    sandbox.faults({"match": match, "action": "status", "code": 503})
    assert (pay(sandbox.port, "aimed", key="aimed").status == 503) is hit


@pytest.mark.parametrize(
    ("match", "hit"),
    [({"amount": 1000}, True), ({"amount_max": 999}, False), ({"currency": "usd"}, True),
     ({"metadata": {"order_id": "behind"}}, True), ({"operation": "payment_intents.update"}, True)],
)  # fmt: skip
def test_a_rule_aims_at_the_object_that_a_request_is_about(
    sandbox: SandboxProcess, match: dict[str, Any], hit: bool
) -> None:
    intent = pay(sandbox.port, "behind").json["id"]
    sandbox.faults({"match": match, "action": "status", "code": 503})
    heard = ask(sandbox.port, f"/v1/payment_intents/{intent}", {"description": "x"})
    assert (heard.status == 503) is hit


def test_a_rule_aims_at_a_customer_of_the_request_or_of_its_intent(sandbox: SandboxProcess) -> None:
    customer = ask(sandbox.port, "/v1/customers", {"name": "Ada"}).json["id"]
    params = {"amount": "1000", "currency": "usd", "customer": customer}
    intent = ask(sandbox.port, "/v1/payment_intents", params).json["id"]
    sandbox.faults({"match": {"customer": customer}, "action": "status", "code": 503})

    assert ask(sandbox.port, "/v1/payment_intents", params).status == 503
    assert ask(sandbox.port, f"/v1/payment_intents/{intent}").status == 503
    assert pay(sandbox.port, "nobody").status == 200


def test_a_rule_spares_the_first_and_says_what_it_saw(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "server_error", "after": 2, "times": 1})

    assert [pay(sandbox.port, "spared").status for _ in range(4)] == [200, 200, 500, 200]
    (rule,) = sandbox.control("GET", "/sandbox/faults")["rules"]
    assert (rule["matched"], rule["injected"], rule["left"]) == (4, 1, 0)


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
