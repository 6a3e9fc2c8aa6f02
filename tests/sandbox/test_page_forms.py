"""The forms that stand apart from a payment: events, webhook endpoints, faults, the clock."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
import stripe

from stripe_sandbox.faults.rules import Faults, Plan
from stripe_sandbox.pages.fault_presets import PRESETS, active_faults
from tests.sandbox.pages import look, pay, press
from tests.support.sandbox import SandboxProcess


def test_a_click_resends_an_event_and_shows_both_deliveries(
    sandbox: SandboxProcess, client: Any, receiver: Any
) -> None:
    sandbox.set_webhook(receiver.url)
    pay(client, None)
    receiver.wait_for("payment_intent.created")
    event_id = receiver.deliveries[-1].event.id
    press(sandbox, f"/events/{event_id}/resend")
    receiver.wait_for("payment_intent.created", "payment_intent.created")
    shown = look(sandbox, f"/events/{event_id}")
    assert shown.text.count(receiver.url) == 2
    assert "automatic" in shown.words


def test_a_secret_is_masked_and_told_once_when_it_is_rolled(sandbox: SandboxProcess, receiver: Any) -> None:
    secret = "whsec_" + "0123456789abcdef" * 2
    sandbox.set_webhook(receiver.url, secret)
    shown = look(sandbox, "/webhooks")
    assert secret not in shown.text
    assert "whsec_…cdef" in shown.words
    told = look(sandbox, "/webhooks/we_1SandboxCommandLine/roll", {"keep": "yes"})
    fresh = re.search(r"whsec_\w{10,}", told.text)
    assert fresh is not None
    assert fresh[0] != secret
    assert fresh[0] not in look(sandbox, "/webhooks").text


def test_an_endpoint_is_added_and_disabled(own_sandbox: SandboxProcess, receiver: Any) -> None:
    own_sandbox.start()
    refused = look(own_sandbox, "/webhooks", {"url": "nowhere"})
    assert refused.status == 400
    assert "Invalid URL" in refused.problem
    told = look(own_sandbox, "/webhooks", {"url": receiver.url})
    assert "whsec_" in told.words
    endpoint = own_sandbox.client().v1.webhook_endpoints.list().data[0]
    press(own_sandbox, f"/webhooks/{endpoint.id}/switch", disabled="yes")
    assert own_sandbox.client().v1.webhook_endpoints.retrieve(endpoint.id).status == "disabled"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_is_a_plan_that_puts_something_in_force(preset: Any) -> None:
    faults = Faults()
    assert active_faults(faults) == []
    faults.set(Plan.model_validate(preset.plan))
    assert len(active_faults(faults)) == 1


def test_the_preset_that_doubles_webhooks_delivers_each_twice(own_sandbox: SandboxProcess, receiver: Any) -> None:
    own_sandbox.start(receiver.url)
    press(own_sandbox, "/faults", preset="webhooks-duplicated")
    pay(own_sandbox.client(), None)
    receiver.wait_for("payment_intent.created", "payment_intent.created")
    event_id = receiver.deliveries[0].event.id
    assert look(own_sandbox, f"/events/{event_id}").text.count(receiver.url) == 2


def test_a_preset_strikes_the_next_call_and_the_page_counts_it(sandbox: SandboxProcess, client: Any) -> None:
    assert "1 on" in press(sandbox, "/faults", preset="lost-response").words
    with pytest.raises(stripe.APIConnectionError):
        pay(client, None)
    assert "Drop after the work 1 2 more" in look(sandbox, "/faults").words
    assert "None: the sandbox answers" in press(sandbox, "/faults/clear").words


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("{", "JSON"),
        ('{"rules": [{"action": "explode"}]}', "rules[0].action"),
        ('{"ruels": []}', "ruels: unknown field"),
        ("", "JSON"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_a_sentence_and_kept_for_mending(
    sandbox: SandboxProcess, plan: str, told: str
) -> None:
    shown = look(sandbox, "/faults", {"plan": plan})
    assert shown.status == 400
    assert told in shown.problem
    assert unescape(shown.text.partition('aria-invalid="true">')[2].partition("</textarea>")[0]) == plan
    assert sandbox.control("GET", "/sandbox/faults")["rules"] == []


def test_the_clock_moves_to_what_happens_next(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    client = own_sandbox.client()
    intent = pay(client, capture_method="manual")
    assert intent.id in look(own_sandbox, "/clock").text
    press(own_sandbox, "/clock", by="next")
    assert client.v1.payment_intents.retrieve(intent.id).status == "canceled"
    before = own_sandbox.control("GET", "/sandbox/clock")["now"]
    shown = press(own_sandbox, "/clock", by="3", unit="days")
    assert own_sandbox.control("GET", "/sandbox/clock")["now"] >= before + 3 * 86_400
    assert "ahead of the real time" in shown.words


def test_a_delivery_that_waits_is_what_happens_next(own_sandbox: SandboxProcess, receiver: Any) -> None:
    own_sandbox.start(receiver.url)
    own_sandbox.faults(webhooks={"delay_ms": 3_600_000})
    pay(own_sandbox.client(), None)
    shown = look(own_sandbox, "/clock")
    assert "webhook: attempt 1" in shown.words
    assert 'href="/events/evt_' in shown.text
    assert "ahead of the real time" in press(own_sandbox, "/clock", by="next").words
    receiver.wait_for("payment_intent.created")
    assert press(own_sandbox, "/clock", by="next").status == 200


@pytest.mark.parametrize(
    "form", [{"by": "-1"}, {"by": "1.5"}, {"by": "9999999999"}, {"by": "1", "unit": "years"}, {}, {"by": "\u0663"}]
)
def test_a_step_of_the_clock_that_is_none_is_refused(sandbox: SandboxProcess, form: dict[str, str]) -> None:
    before = sandbox.control("GET", "/sandbox/clock")["offset_s"]
    shown = look(sandbox, "/clock", form)
    assert shown.status == 400
    assert shown.problem
    assert sandbox.control("GET", "/sandbox/clock")["offset_s"] == before
