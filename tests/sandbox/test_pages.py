"""The pages for people, asked for without a browser."""

from __future__ import annotations

import contextlib
import http.client
import re
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from stripe_sandbox.errors import ApiError
from stripe_sandbox.faults.rules import Faults, Plan
from stripe_sandbox.pages import money
from stripe_sandbox.pages.plans import PRESETS, in_force
from stripe_sandbox.pages.text import duration, masked
from stripe_sandbox.resources.currencies import SUPPORTED
from tests.support.sandbox import SandboxProcess

PAGES = ("/", "/events", "/webhooks", "/faults", "/clock")
HOSTILE = "<script>alert('paid')</script>"


@dataclass(frozen=True, slots=True)
class Shown:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def words(self) -> str:
        """What a person reads, in one line."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    @property
    def buttons(self) -> list[str]:
        main = self.text.partition("<main")[2]
        return [text.strip() for text in re.findall(r"<button[^>]*>([^<]*)</button>", main)]

    @property
    def problem(self) -> str:
        found = re.search(r'role="alert">([^<]*)<', self.text)
        return unescape(found[1]) if found else ""


def look(sandbox: SandboxProcess, path: str, form: dict[str, str] | None = None, **headers: str) -> Shown:
    """Open a page, or post a form as a page of the sandbox would; redirects are not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=20)
    sent = {"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET" if form is None else "POST", path, urlencode(form or {}), sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.headers.items()}
        return Shown(response.status, found, response.read().decode())
    finally:
        connection.close()


def press(sandbox: SandboxProcess, path: str, **form: str) -> Shown:
    """Post a form, assert that it was done, and give the page that it leads to."""
    answer = look(sandbox, path, form)
    assert answer.status == 303, answer.words
    return look(sandbox, answer.headers["location"])


def pay(client: Any, method: str | None = "pm_card_visa", **params: Any) -> Any:
    """An intent, confirmed with `method`; a decline is an outcome like any other."""
    intent = client.v1.payment_intents.create(
        {"amount": 1999, "currency": "eur", "payment_method_types": ["card"], **params}
    )
    if method is not None:
        with contextlib.suppress(stripe.CardError):
            client.v1.payment_intents.confirm(intent.id, {"payment_method": method})
    return client.v1.payment_intents.retrieve(intent.id)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_shown_and_may_run_no_script(sandbox: SandboxProcess, path: str) -> None:
    shown = look(sandbox, path)
    assert shown.status == 200
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "<script" not in shown.text
    assert 'aria-current="page"' in shown.text


def test_the_style_sheet_is_served(sandbox: SandboxProcess) -> None:
    shown = look(sandbox, "/assets/style.css")
    assert (shown.status, shown.headers["content-type"]) == (200, "text/css")


def test_a_payment_declined_and_then_paid_tells_both_attempts(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, "pm_card_visa_chargeDeclinedInsufficientFunds", metadata={"order_id": "tells-both"})
    declined = look(sandbox, f"/payments/{intent.id}")
    assert "declined" in declined.words
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    paid = look(sandbox, f"/payments/{intent.id}")
    assert "19.99 EUR succeeded" in paid.words
    assert "insufficient_funds" in paid.words
    assert "captured 19.99 EUR" in paid.words
    kinds = ("payment_intent.created", "charge.failed", "payment_intent.payment_failed", "charge.succeeded")
    places = [paid.words.index(kind) for kind in kinds]
    assert places == sorted(places)


def test_what_clients_write_is_shown_as_text(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, description=HOSTILE, metadata={"order_id": HOSTILE, HOSTILE: "value"})
    event = client.v1.events.list({"limit": 1}).data[0]
    for path in ("/", f"/?q={HOSTILE}", f"/payments/{intent.id}", "/events", f"/events/{event.id}"):
        shown = look(sandbox, path.replace(HOSTILE, urlencode({"": HOSTILE})[1:]))
        assert "<script" not in shown.text
        assert HOSTILE in unescape(shown.text)


def test_no_page_tells_a_client_secret(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, "pm_card_chargeDeclined")
    events = client.v1.events.list({"limit": 5}).data
    for path in (f"/payments/{intent.id}", *(f"/events/{event.id}" for event in events)):
        assert intent.client_secret not in look(sandbox, path).text


def test_payments_are_found_by_id_metadata_and_status(sandbox: SandboxProcess, client: Any) -> None:
    sought = pay(client, None, metadata={"basket": "needle-4711"})
    other = pay(client)
    for query in ("q=needle-4711", f"q={sought.id}", "q=NEEDLE", "status=requires_payment_method&q=needle"):
        text = look(sandbox, f"/?{query}").text
        assert sought.id in text
        assert other.id not in text
    assert "No payment fits" in look(sandbox, "/?status=canceled&q=needle-4711").words


def test_paging_shows_every_payment_once(sandbox: SandboxProcess, client: Any) -> None:
    wanted = [pay(client, None, metadata={"order_id": f"paged-{n}"}).id for n in range(60)]
    seen, path = [], "/?q=paged-"
    while True:
        text = look(sandbox, path).text
        seen += re.findall(r'href="/payments/(pi_\w+)"', text)
        older = re.search(r'rel="next" href="([^"]*)"', text)
        if older is None:
            break
        path = unescape(older[1])
    assert seen == wanted[::-1]
    newer = re.search(r'rel="prev" href="([^"]*)"', text)
    assert newer is not None
    assert re.findall(r'href="/payments/(pi_\w+)"', look(sandbox, unescape(newer[1])).text) == wanted[::-1][25:50]


def test_a_cursor_that_is_none_is_refused_on_a_page(sandbox: SandboxProcess) -> None:
    shown = look(sandbox, "/?after=pi_nowhere")
    assert shown.status == 400
    assert "No such payment_intent" in shown.problem


@pytest.mark.parametrize(
    ("method", "capture", "buttons"),
    [
        (None, "automatic", ["Cancel the payment"]),
        ("pm_card_threeDSecure2Required", "automatic", ["Pass 3-D Secure", "Fail 3-D Secure", "Cancel the payment"]),
        ("pm_card_visa", "manual", ["Capture", "Cancel the payment"]),
        ("pm_card_visa", "automatic", ["Refund", "Open a dispute", "Open an inquiry"]),
    ],
)
def test_a_payment_has_the_buttons_that_fit_its_state(
    sandbox: SandboxProcess, client: Any, method: str | None, capture: str, buttons: list[str]
) -> None:
    intent = pay(client, method, capture_method=capture)
    assert look(sandbox, f"/payments/{intent.id}").buttons == buttons


def test_three_d_secure_can_be_passed_and_failed(sandbox: SandboxProcess, client: Any) -> None:
    passing, failing = (pay(client, "pm_card_threeDSecure2Required") for _ in range(2))
    assert "The customer passed 3-D Secure." in press(sandbox, f"/payments/{passing.id}/pass").words
    assert "The customer failed 3-D Secure." in press(sandbox, f"/payments/{failing.id}/fail").words
    states = [client.v1.payment_intents.retrieve(intent.id).status for intent in (passing, failing)]
    assert states == ["succeeded", "requires_payment_method"]


def test_a_part_is_captured_and_a_part_of_that_refunded(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client, capture_method="manual")
    press(sandbox, f"/payments/{intent.id}/capture", amount="15.00")
    shown = press(sandbox, f"/payments/{intent.id}/refund", amount="4.01")
    assert "partially refunded" in shown.words
    assert [(entry["effect"], entry["amount"]) for entry in sandbox.ledger() if entry["payment_intent"] == intent.id][
        -2:
    ] == [("refund.created", 401), ("refund.succeeded", 401)]
    assert 'value="10.99"' in shown.text
    shown = press(sandbox, f"/payments/{intent.id}/refund", amount="")
    assert "Refund" not in shown.buttons
    assert sum(refund.amount for refund in client.v1.refunds.list({"payment_intent": intent.id}).data) == 1500


@pytest.mark.parametrize("amount", ["19.999", "-1", "1e2", "20.00", "0", "a lot", "\uff11"])
def test_an_amount_that_is_none_or_too_much_is_refused_and_moves_nothing(
    sandbox: SandboxProcess, client: Any, amount: str
) -> None:
    intent = pay(client)
    before = len(sandbox.ledger())
    shown = look(sandbox, f"/payments/{intent.id}/refund", {"amount": amount})
    assert shown.status == 400
    assert shown.problem
    assert "19.99 EUR" in shown.words
    assert len(sandbox.ledger()) == before


def test_a_button_that_no_longer_fits_says_why(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    shown = look(sandbox, f"/payments/{intent.id}/cancel", {})
    assert shown.status == 400
    assert "succeeded" in shown.problem


def test_a_dispute_is_opened_and_won(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    shown = press(sandbox, f"/payments/{intent.id}/dispute")
    assert "needs_response" in shown.words
    assert shown.buttons == ["Won", "Lost"]
    dispute = client.v1.disputes.list({"payment_intent": intent.id}).data[0]
    shown = press(sandbox, f"/payments/{intent.id}/dispute-won", object=dispute.id)
    assert client.v1.disputes.retrieve(dispute.id).status == "won"
    assert "Won" not in shown.buttons


def test_a_refund_fails_late_by_a_button(sandbox: SandboxProcess, client: Any) -> None:
    intent = pay(client)
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    press(sandbox, f"/payments/{intent.id}/refund-fail", object=refund.id)
    assert client.v1.refunds.retrieve(refund.id).status == "failed"


def test_a_debit_settles_by_a_button(sandbox: SandboxProcess, client: Any) -> None:
    debit = {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}}
    method = client.v1.payment_methods.create({**debit, "billing_details": {"name": "A", "email": "a@example.com"}})
    intent = pay(client, None, payment_method_types=["sepa_debit"])
    mandate = {"customer_acceptance": {"type": "offline"}}
    client.v1.payment_intents.confirm(intent.id, {"payment_method": method.id, "mandate_data": mandate})
    assert "Bounce the debit" in look(sandbox, f"/payments/{intent.id}").buttons
    press(sandbox, f"/payments/{intent.id}/settle")
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


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
    assert in_force(faults) == []
    faults.set(Plan.model_validate(preset.plan))
    assert len(in_force(faults)) == 1


def test_a_preset_strikes_the_next_call_and_the_page_counts_it(sandbox: SandboxProcess, client: Any) -> None:
    assert "1 on" in press(sandbox, "/faults", preset="lost-answer").words
    with pytest.raises(stripe.APIConnectionError):
        pay(client, None)
    assert "Drop after the work 1 2 more" in look(sandbox, "/faults").words
    assert "None: the sandbox answers" in press(sandbox, "/faults/clear").words


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("{", "JSON"),
        ('{"rules": [{"action": "explode"}]}', "rules[0].action"),
        ('{"ruels": []}', "ruels: there is no such field"),
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


@pytest.mark.parametrize(
    "form", [{"by": "-1"}, {"by": "1.5"}, {"by": "9999999999"}, {"by": "1", "unit": "years"}, {}, {"by": "\u0663"}]
)
def test_a_step_of_the_clock_that_is_none_is_refused(sandbox: SandboxProcess, form: dict[str, str]) -> None:
    before = sandbox.control("GET", "/sandbox/clock")["offset_s"]
    shown = look(sandbox, "/clock", form)
    assert shown.status == 400
    assert shown.problem
    assert sandbox.control("GET", "/sandbox/clock")["offset_s"] == before


@pytest.mark.parametrize("path", ["/faults/clear", "/sandbox/faults", "/sandbox/clock"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_site_may_not_drive_the_sandbox(
    sandbox: SandboxProcess, path: str, headers: dict[str, str]
) -> None:
    sandbox.faults({"action": "latency", "ms": 1})
    assert look(sandbox, path, {}, **headers).status == 403
    assert len(sandbox.faults_struck()) == 1


def test_the_sandboxs_own_pages_may_drive_it(sandbox: SandboxProcess) -> None:
    own = {"Origin": sandbox.base_url, "Sec_Fetch_Site": "same-origin"}
    assert look(sandbox, "/faults/clear", {}, **own).status == 303
    assert look(sandbox, "/faults/clear", {}, Origin=sandbox.base_url).status == 303


@pytest.mark.parametrize(
    "path", ["/nowhere", "/payments/pi_none", "/events/evt_none", "/payments/", f"/%3Cscript%3E{HOSTILE[-9:]}"]
)
def test_an_address_without_a_page_gets_a_page_that_leads_back(sandbox: SandboxProcess, path: str) -> None:
    shown = look(sandbox, path)
    assert shown.status == 404
    assert 'href="/"' in shown.text
    assert "<script" not in shown.text


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html"])
def test_the_api_answers_an_unknown_address_as_stripe_does(sandbox: SandboxProcess, accept: str) -> None:
    shown = look(sandbox, "/v1/nowhere", Accept=accept, Authorization="Bearer sk_test_pages")
    assert shown.status == 404
    assert shown.headers["content-type"] == "application/json"


def test_a_client_that_does_not_browse_gets_no_page_for_an_unknown_address(sandbox: SandboxProcess) -> None:
    shown = look(sandbox, "/nowhere", Accept="*/*", Authorization="Bearer sk_test_pages")
    assert (shown.status, shown.headers["content-type"]) == (404, "application/json")


@given(st.integers(0, 99_999_999_999), st.sampled_from(sorted(SUPPORTED)))
def test_an_amount_that_is_written_is_read_as_the_same(amount: int, currency: str) -> None:
    assert money.read(money.plain(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "eur", "19.99 EUR"),
        (5, "usd", "0.05 USD"),
        (120_000, "jpy", "120,000 JPY"),
        (1_234_560, "kwd", "1,234.560 KWD"),
        (50_000, "isk", "500.00 ISK"),
        (-12_345_678, "gbp", "-123,456.78 GBP"),
    ],
)
def test_amounts_have_the_decimals_that_stripe_gives_their_currency(amount: int, currency: str, text: str) -> None:
    assert money.written(amount, currency) == text


@pytest.mark.parametrize(("text", "currency"), [("1.5", "jpy"), ("1.234", "eur"), ("1,000", "eur"), ("", "eur")])
def test_what_is_no_amount_of_a_currency_is_not_read(text: str, currency: str) -> None:
    with pytest.raises(ApiError):
        money.read(text, currency)


def test_durations_and_secrets_are_short() -> None:
    assert [duration(s) for s in (0, 59, 3600, 90_061, 604_800)] == ["0 s", "59 s", "1 h", "1 d 1 h", "7 d"]
    assert [masked(s) for s in ("whsec_0123456789abcdef", "whsec_short", "nothing")] == ["whsec_…cdef", "whsec_…", "…"]
