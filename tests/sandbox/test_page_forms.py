"""The forms of the pages for events, webhook endpoints, faults and the clock."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
import stripe

from stripe_sandbox.faults.rules import Faults, Plan
from stripe_sandbox.pages.fault_presets import PRESETS, active_faults
from tests.sandbox.pages import pay, request_page, submit_form
from tests.support.sandbox import SandboxProcess


def test_resent_event_shows_both_deliveries(sandbox: SandboxProcess, client: Any, receiver: Any) -> None:
    sandbox.set_webhook(receiver.url)
    pay(client, None)
    receiver.wait_for("payment_intent.created")
    event_id = receiver.deliveries[-1].event.id
    submit_form(sandbox, f"/events/{event_id}/resend")
    receiver.wait_for("payment_intent.created", "payment_intent.created")
    page = request_page(sandbox, f"/events/{event_id}")
    assert page.text.count(receiver.url) == 2


def test_secret_is_masked_and_shown_only_once_when_rolled(sandbox: SandboxProcess, receiver: Any) -> None:
    secret = "whsec_" + "0123456789abcdef" * 2
    sandbox.set_webhook(receiver.url, secret)
    page = request_page(sandbox, "/webhooks")
    assert secret not in page.text
    assert "whsec_…cdef" in page.visible_text
    rolled = request_page(sandbox, "/webhooks/we_1SandboxCommandLine/roll", {"keep": "yes"})
    fresh = re.search(r"whsec_\w{10,}", rolled.text)
    assert fresh is not None
    assert fresh[0] != secret
    assert fresh[0] not in request_page(sandbox, "/webhooks").text


def test_endpoint_can_be_added_and_disabled(own_sandbox: SandboxProcess, receiver: Any) -> None:
    own_sandbox.start()
    rejected = request_page(own_sandbox, "/webhooks", {"url": "nowhere"})
    assert rejected.status == 400
    assert "Invalid URL" in rejected.error
    added = request_page(own_sandbox, "/webhooks", {"url": receiver.url})
    assert "whsec_" in added.visible_text
    endpoint = own_sandbox.client().v1.webhook_endpoints.list().data[0]
    submit_form(own_sandbox, f"/webhooks/{endpoint.id}/switch", disabled="yes")
    assert own_sandbox.client().v1.webhook_endpoints.retrieve(endpoint.id).status == "disabled"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_is_a_valid_plan_with_one_fault(preset: Any) -> None:
    faults = Faults()
    assert active_faults(faults) == []
    faults.set(Plan.model_validate(preset.plan))
    assert len(active_faults(faults)) == 1


def test_webhooks_duplicated_preset_delivers_each_event_twice(own_sandbox: SandboxProcess, receiver: Any) -> None:
    own_sandbox.start(receiver.url)
    submit_form(own_sandbox, "/faults", preset="webhooks-duplicated")
    pay(own_sandbox.client(), None)
    receiver.wait_for("payment_intent.created", "payment_intent.created")
    event_id = receiver.deliveries[0].event.id
    assert request_page(own_sandbox, f"/events/{event_id}").text.count(receiver.url) == 2


def test_lost_response_preset_applies_and_the_page_counts_its_hits(sandbox: SandboxProcess, client: Any) -> None:
    assert "/faults/clear" in submit_form(sandbox, "/faults", preset="lost-response").text
    with pytest.raises(stripe.APIConnectionError):
        pay(client, None)
    assert 'data-label="Injected" class="number">1<' in request_page(sandbox, "/faults").text
    assert "/faults/clear" not in submit_form(sandbox, "/faults/clear").text


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ("{", "JSON"),
        ('{"rules": [{"action": "explode"}]}', "rules[0].action"),
        ('{"ruels": []}', "ruels: "),
        ("", "JSON"),
    ],
)
def test_invalid_plan_is_rejected_and_kept_in_the_form(sandbox: SandboxProcess, plan: str, error: str) -> None:
    page = request_page(sandbox, "/faults", {"plan": plan})
    assert page.status == 400
    assert error in page.error
    assert unescape(page.text.partition('aria-invalid="true">')[2].partition("</textarea>")[0]) == plan
    assert sandbox.control("GET", "/sandbox/faults")["rules"] == []


def test_clock_can_be_advanced_to_the_next_scheduled_action(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    client = own_sandbox.client()
    intent = pay(client, capture_method="manual")
    assert intent.id in request_page(own_sandbox, "/clock").text
    submit_form(own_sandbox, "/clock", by="next")
    assert client.v1.payment_intents.retrieve(intent.id).status == "canceled"
    before = own_sandbox.control("GET", "/sandbox/clock")["now"]
    page = submit_form(own_sandbox, "/clock", by="3", unit="days")
    assert own_sandbox.control("GET", "/sandbox/clock")["now"] >= before + 3 * 86_400
    assert "ahead of real time" in page.visible_text


def test_delayed_delivery_is_a_scheduled_action(own_sandbox: SandboxProcess, receiver: Any) -> None:
    own_sandbox.start(receiver.url)
    own_sandbox.faults(webhooks={"delay_ms": 3_600_000})
    pay(own_sandbox.client(), None)
    page = request_page(own_sandbox, "/clock")
    assert 'href="/events/evt_' in page.text
    assert "ahead of real time" in submit_form(own_sandbox, "/clock", by="next").visible_text
    receiver.wait_for("payment_intent.created")
    assert submit_form(own_sandbox, "/clock", by="next").status == 200


@pytest.mark.parametrize(
    "form", [{"by": "-1"}, {"by": "1.5"}, {"by": "9999999999"}, {"by": "1", "unit": "years"}, {}, {"by": "\u0663"}]
)
def test_invalid_clock_step_is_rejected(sandbox: SandboxProcess, form: dict[str, str]) -> None:
    before = sandbox.control("GET", "/sandbox/clock")["offset_s"]
    page = request_page(sandbox, "/clock", form)
    assert page.status == 400
    assert page.error
    assert sandbox.control("GET", "/sandbox/clock")["offset_s"] == before
