"""Every test card of https://docs.stripe.com/testing pays, is declined, or is named as not covered: none is "live"."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from stripe_sandbox.resources import other_test_methods
from stripe_sandbox.resources.cards import ALIASES, passes_luhn
from stripe_sandbox.resources.country_cards import COUNTRY_CARDS
from tests.sandbox.test_cards import CARD_ONLY, pay

ADDRESS = {"line1": "1 Main Street", "postal_code": "12345"}
# In the order of the page. `COUNTRY_CARDS` has the cards of countries.
_PAGE = """
4242424242424242 4000056655665556 5555555555554444 2223003122003222 5200828282828210 5105105105105100 378282246310005
371449635398431 6011111111111117 6011000990139424 6011981111111113 3056930009020004 36227206271667 6555900000604105
3566002020360505 6200000000000005 6200000000000047 6205500000000000004 4000002500001001 5555552500001001 4000050360000001
5555050360000080 5062210000000009 4000051230000072 5200828282828897 4000000000000002 4000000000009995 4000000000009987
4000000000009979 4000000000000069 4000000000000127 4000000000000119 4000000000006975 4000000000000341 4100000000000019
4000000000004954 4000000000009235 4000008400000407 4000008400000159 4000008400001017 4001858821843804 4000008405600003
4000000000000101 4000000000000036 4000058400307872 4000058400306072 4000000000000028 4000000000000010 4000000000000044
4000000000001208 4000000000003725 4000000000000259 4000000000002685 4000000000001976 4000000000005423 4000000404000079
4000000404000038 4000008400000779 5105008400000002 4000000001000043 4000000000007726 4000000000005126 4000000000000077
4000003720000278 4000002500003155 4000002760003184 4000003800000446 4000008260003178 4000000000003220 4000008400001629
4000008400001280 4000000000003055 4000000000003097 4000000032200000 4000000000003063 4000582600000094 4000582600000045
4000582600000102 4000582600000110 4001007020000002 4000008260000075 4001000360000005 4000002760000008 4000008400000076
"""
PAGE = _PAGE.split()


def card(number: str, **more: Any) -> dict[str, Any]:
    return {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123", **more}}


def refusal_of(client: Any, number: str) -> stripe.StripeError | None:
    """Return the error for a card number, or None if it is accepted."""
    try:
        client.v1.payment_methods.create(card(number))
    except stripe.StripeError as error:
        return error
    return None


def test_no_test_card_of_stripe_is_called_live(client: Any) -> None:
    """A live card has the decline code `test_mode_live_card`; a test card that is missing, the code of the sandbox."""
    for number in [*PAGE, *(issued.number for issued in COUNTRY_CARDS)]:
        error = refusal_of(client, number)
        if error is not None:
            assert (error.http_status, error.code) == (400, "sandbox_not_covered"), number
            assert f"ends in {number[-4:]}" in str(error)


def test_every_number_can_be_typed_into_a_form() -> None:
    assert [number for number in (*PAGE, *other_test_methods.NUMBERS) if not passes_luhn(number)] == []
    assert [item.number for item in ALIASES.values() if item.type == "card" and not passes_luhn(item.number)] == []


@pytest.mark.parametrize(
    "alias",
    [
        *(
            "pm_card_de",
            "pm_card_gb_debit",
            "pm_card_ae_mastercard",
            "pm_card_th_credit",
            "pm_card_visa_cartesBancaires",
        ),
        *("pm_card_mastercard_debit_eftposAuCoBranded", "pm_card_avsFail", "pm_card_threeDSecureOptional"),
        *(
            "pm_card_amex_threeDSecureNotSupported",
            "pm_card_bypassPendingInternational",
            "pm_card_debit_visaHsaProductCode",
        ),
    ],
)
def test_card_without_a_special_outcome_pays(client: Any, alias: str) -> None:
    assert pay(client, alias).status == "succeeded"


def test_card_has_the_country_of_its_bank(client: Any) -> None:
    method: Any = pay(client, "pm_card_de", expand=["payment_method"]).payment_method
    assert (method.card.country, method.card.brand) == ("DE", "visa")


def test_co_branded_card_names_both_networks(client: Any) -> None:
    method = client.v1.payment_methods.create(card("4000002500001001"))
    assert (method.card.brand, method.card.networks.available) == ("visa", ["cartes_bancaires", "visa"])


@pytest.mark.parametrize(
    ("number", "line1", "postal_code", "cvc"),
    [
        ("4242424242424242", "pass", "pass", "pass"),
        ("4000000000000101", "pass", "pass", "fail"),
        ("4000000000000036", "pass", "fail", "pass"),
        ("4000000000000028", "fail", "pass", "pass"),
        ("4000000000000010", "fail", "fail", "pass"),
        ("4000000000000044", "unavailable", "unavailable", "pass"),
    ],
)
def test_bank_reports_its_checks_of_the_address(
    client: Any, number: str, line1: str, postal_code: str, cvc: str
) -> None:
    given = client.v1.payment_methods.create({**card(number), "billing_details": {"address": ADDRESS}}).card.checks
    without = client.v1.payment_methods.create(card(number)).card.checks

    assert (given.address_line1_check, given.address_postal_code_check, given.cvc_check) == (line1, postal_code, cvc)
    assert (without.address_line1_check, without.address_postal_code_check, without.cvc_check) == (None, None, cvc)


def test_risk_of_a_payment_is_in_its_outcome(client: Any) -> None:
    intent = pay(client, "pm_card_riskLevelElevated", expand=["latest_charge"])
    charge: Any = intent.latest_charge
    assert charge.outcome.risk_level == "elevated"
    with pytest.raises(stripe.CardError) as caught:
        pay(client, "pm_card_riskLevelHighest")
    assert caught.value.code == "card_declined"


@pytest.mark.parametrize("number", ["4000000000003238", "4000582600000094", "4000582600000110"])
def test_every_challenge_of_3d_secure_waits_for_the_customer(client: Any, number: str) -> None:
    data = card(number)
    intent = client.v1.payment_intents.create({**CARD_ONLY, "payment_method_data": data, "confirm": True})
    assert intent.status == "requires_action"


def test_payment_is_declined_if_3d_secure_fails(client: Any) -> None:
    with pytest.raises(stripe.CardError) as caught:
        pay(client, "pm_card_threeDSecureRequiredProcessingError")
    assert caught.value.code == "card_declined"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"exp_month": 13}, "invalid_expiry_month"),
        ({"exp_year": 2020}, "invalid_expiry_year"),
        ({"exp_year": 95}, "invalid_expiry_year"),
        ({"cvc": "99"}, "invalid_cvc"),
    ],
)
def test_invalid_data_is_refused(client: Any, more: dict[str, Any], code: str) -> None:
    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_methods.create(card("4242424242424242", **more))
    assert (caught.value.http_status, caught.value.code) == (402, code)


def test_year_of_two_digits_is_accepted(client: Any) -> None:
    assert client.v1.payment_methods.create(card("4242424242424242", exp_year=40)).card.last4 == "4242"


@pytest.mark.parametrize("name", ["pm_card_highEfwScore", "pm_card_visa_chargeCustomerFailLostCard"])
def test_payment_method_that_only_stripe_has_is_named_so(client: Any, name: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay(client, name)
    assert caught.value.code == "sandbox_not_covered"


def test_token_that_only_stripe_has_is_named_so(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa_chargeCustomerFailStolenCard"}})
    assert caught.value.code == "sandbox_not_covered"


def test_name_that_looks_like_a_test_payment_method_leads_to_the_list(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay(client, "pm_card_visa_chargeDeklined")
    assert caught.value.code == "resource_missing"
    assert "docs/sandbox.md lists those that it covers" in str(caught.value)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay(client, "pm_1Unknown")
    assert "docs/sandbox.md" not in str(caught.value)
