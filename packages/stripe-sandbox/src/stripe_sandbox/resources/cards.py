"""The test cards and bank accounts, and their behavior (https://docs.stripe.com/testing)."""

from __future__ import annotations

from typing import Any

from stripe_sandbox.resources.country_cards import COUNTRY_CARDS
from stripe_sandbox.resources.instruments import Challenge, Decline, Instrument

# In test mode the bank decides on a debit after about 15 s, on a delayed one after at least three minutes:
# https://docs.stripe.com/payments/sepa-debit/accept-a-payment#test-integration
SETTLES_S = 15.0
SETTLES_LATE_S = 180.0


def _declined(decline_code: str, message: str, advice: str | None) -> Decline:
    return Decline("card_declined", decline_code, message, advice)


_DECLINED = "Your card was declined."

GENERIC = _declined("generic_decline", _DECLINED, "try_again_later")
INSUFFICIENT_FUNDS = _declined("insufficient_funds", "Your card has insufficient funds.", "try_again_later")
LOST_CARD = _declined("lost_card", _DECLINED, "do_not_try_again")
STOLEN_CARD = _declined("stolen_card", _DECLINED, "do_not_try_again")
FRAUDULENT = _declined("fraudulent", _DECLINED, None)
VELOCITY = _declined(
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
    "try_again_later",
)
EXPIRED_CARD = Decline(
    "expired_card",
    "expired_card",
    "Your card has expired.",
    "confirm_card_data",
    "exp_month",
)
INCORRECT_CVC = Decline(
    "incorrect_cvc",
    "incorrect_cvc",
    "Your card's security code is incorrect.",
    "confirm_card_data",
    "cvc",
)
PROCESSING_ERROR = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    "try_again_later",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
AUTHENTICATION_NOT_HANDLED = Decline(
    "authentication_required",
    "authentication_not_handled",
    "Your card was declined. This transaction requires authentication.",
)


def _returned(failure_code: str, message: str) -> Decline:
    code = "payment_intent_payment_attempt_failed"
    return Decline(code, None, message, failure_code=failure_code)


BANK_REJECTION = _returned(
    "incorrect_account_holder_name", "The bank refused the debit: the account holder's name does not match."
)
ACCOUNT_CLOSED = _returned("account_closed", "The customer's bank account has been closed.")
NO_ACCOUNT = _returned("no_account", "The bank account could not be found.")
TOO_LITTLE = _returned("insufficient_funds", "The customer's account has insufficient funds to cover this payment.")
NOT_AUTHORIZED = _returned("debit_not_authorized", "The customer has told the bank that this debit is not authorized.")
WRONG_CURRENCY = _returned("invalid_currency", "The bank account cannot be debited in this currency.")
OVER_VOLUME = _returned("charge_exceeds_source_limit", "The debit exceeds the account's weekly volume limit.")
OVER_AMOUNT = _returned("charge_exceeds_weekly_limit", "The debit exceeds the account's transaction limit.")


def _card(name: str, number: str, decline: Decline | None = None, **more: Any) -> Instrument:
    return Instrument(name, "card", number, decline=decline, **more)


_ALWAYS = Challenge.ALWAYS
_ELEVATED = "elevated"

# They differ in what a mobile app shows: https://docs.stripe.com/testing#three-ds-mobile-challenge-flows
_MOBILE_CHALLENGES = (
    "4000000000003238",
    "4000000000003246",
    "4000000000003253",
    "4000582600000045",
    "4000582600000094",
    "4000582600000102",
    "4000582600000110",
)

CARDS = (
    _card("visa", "4242424242424242"),
    _card("visa_debit", "4000056655665556", funding="debit"),
    _card("mastercard", "5555555555554444", brand="mastercard"),
    _card("mastercard_series2", "2223003122003222", brand="mastercard"),
    _card("mastercard_debit", "5200828282828210", brand="mastercard", funding="debit"),
    _card("mastercard_prepaid", "5105105105105100", brand="mastercard", funding="prepaid"),
    _card("amex", "378282246310005", brand="amex"),
    _card("amex_second", "371449635398431", brand="amex"),
    _card("discover", "6011111111111117", brand="discover"),
    _card("discover_second", "6011000990139424", brand="discover"),
    _card("discover_debit", "6011981111111113", brand="discover", funding="debit"),
    _card("diners", "3056930009020004", brand="diners"),
    _card("diners_14digits", "36227206271667", brand="diners"),
    _card("jcb", "3566002020360505", brand="jcb"),
    _card("unionpay", "6200000000000005", brand="unionpay"),
    _card("unionpay_debit", "6200000000000047", brand="unionpay", funding="debit"),
    _card("unionpay_19digits", "6205500000000000004", brand="unionpay"),
    _card("visa_cartesBancaires", "4000002500001001", country="FR", co_brand="cartes_bancaires"),
    _card(
        "mastercard_cartesBancaires", "5555552500001001", brand="mastercard", country="FR", co_brand="cartes_bancaires"
    ),
    _card("visa_debit_eftposAuCoBranded", "4000050360000001", funding="debit", country="AU", co_brand="eftpos_au"),
    _card(
        "mastercard_debit_eftposAuCoBranded",
        "5555050360000080",
        brand="mastercard",
        funding="debit",
        country="AU",
        co_brand="eftpos_au",
    ),
    _card("debit_visaFsaProductCode", "4000051230000072", funding="debit"),
    _card("debit_visaHsaProductCode", "4000051230000072", funding="debit"),
    _card("mastercard_debit_mastercardFsaProductCode", "5200828282828897", brand="mastercard", funding="debit"),
    _card("credit_disableEnterpriseCardFeatures", "4000008400000076"),
    _card("domesticPricing", "4000000000000093"),
    _card("bypassPending", "4000000000000077"),
    _card("bypassPendingInternational", "4000003720000278", country="IE"),
    _card("chargeDeclined", "4000000000000002", GENERIC),
    _card("chargeDeclinedInsufficientFunds", "4000000000009995", INSUFFICIENT_FUNDS),
    _card("chargeDeclinedLostCard", "4000000000009987", LOST_CARD),
    _card("chargeDeclinedStolenCard", "4000000000009979", STOLEN_CARD),
    _card("chargeDeclinedExpiredCard", "4000000000000069", EXPIRED_CARD),
    _card("chargeDeclinedIncorrectCvc", "4000000000000127", INCORRECT_CVC),
    _card("chargeDeclinedProcessingError", "4000000000000119", PROCESSING_ERROR),
    _card("chargeDeclinedVelocityLimitExceeded", "4000000000006975", VELOCITY),
    _card("chargeDeclinedFraudulent", "4100000000000019", FRAUDULENT),
    _card("radarBlock", "4100000000000019", FRAUDULENT),
    _card("riskLevelHighest", "4000000000004954", FRAUDULENT),
    _card("riskLevelElevated", "4000000000009235", risk_level=_ELEVATED),
    _card("cvcCheckFail", "4000000000000101", checks={"cvc": "fail"}),
    _card("avsZipFail", "4000000000000036", checks={"postal_code": "fail"}),
    _card("avsLine1Fail", "4000000000000028", checks={"line1": "fail"}),
    _card("avsFail", "4000000000000010", checks={"line1": "fail", "postal_code": "fail"}),
    _card("avsUnchecked", "4000000000000044", checks={"line1": "unavailable", "postal_code": "unavailable"}),
    _card("cvcCheckFailElevatedRisk", "4000058400307872", risk_level=_ELEVATED, checks={"cvc": "fail"}),
    _card("avsZipFailElevatedRisk", "4000058400306072", risk_level=_ELEVATED, checks={"postal_code": "fail"}),
    _card("chargeCustomerFail", "4000000000000341", GENERIC),
    _card("createDispute", "4000000000000259"),
    _card("createDisputeProductNotReceived", "4000000000002685"),
    _card("createDisputeInquiry", "4000000000001976"),
    _card("createMultipleDisputes", "4000000404000079"),
    _card("createCe3EligibleDispute", "4000000404000038"),
    _card("createComplianceDispute", "4000008400000779"),
    _card("createMastercardComplianceDispute", "5105008400000002", brand="mastercard"),
    _card("createAutoRepresentmentEligibleDispute", "4000000001000043"),
    _card("createIssuerFraudRecord", "4000000000005423"),
    _card("pendingRefund", "4000000000007726"),
    _card("refundFail", "4000000000005126"),
    _card("authenticationRequiredOnSetup", "4000002500003155", challenge=_ALWAYS),
    _card("authenticationRequired", "4000002760003184", challenge=_ALWAYS),
    _card(
        "authenticationRequiredSetupForOffSession",
        "4000003800000446",
        challenge=Challenge.ON_SESSION,
    ),
    _card(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        INSUFFICIENT_FUNDS,
        challenge=_ALWAYS,
    ),
    _card("threeDSecure2Required", "4000000000003220", challenge=_ALWAYS),
    _card("threeDSecureRequired", "4000000000003063", challenge=_ALWAYS),
    _card("threeDSecureRequiredChargeDeclined", "4000008400001629", GENERIC, challenge=_ALWAYS),
    _card("threeDSecureRequiredProcessingError", "4000008400001280", GENERIC),
    _card("threeDSecureOptional", "4000000000003055"),
    _card("threeDSecureOptionalProcessingError", "4000000000003097"),
    _card("amex_threeDSecureNotSupported", "378282246310005", brand="amex"),
    _card("threeDSecureFrictionless", "4000000032200000"),
    *(_card(f"threeDSecureChallenge{number[-4:]}", number, challenge=_ALWAYS) for number in _MOBILE_CHALLENGES),
)


def _bank(name: str, number: str, decline: Decline | None = None, settles_s: float | None = SETTLES_S) -> Instrument:
    return Instrument(f"pm_usBankAccount{name}", "us_bank_account", number, decline=decline, settles_s=settles_s)


def _sepa(country: str, *numbers: str) -> tuple[Instrument, ...]:
    """Return one account per row of `_SEPA`, in that order; numbers come without the country code."""
    return tuple(
        Instrument(f"pm_{name}_{country.lower()}", "sepa_debit", country + number, decline=decline, settles_s=settles_s)
        for (name, decline, settles_s), number in zip(_SEPA, numbers, strict=True)
    )


_SEPA = (
    ("success", None, SETTLES_S),
    ("successDelayed", None, SETTLES_LATE_S),
    ("failed", BANK_REJECTION, SETTLES_S),
    ("failedDelayed", BANK_REJECTION, SETTLES_LATE_S),
    ("disputed", None, SETTLES_S),
    ("exceedsWeeklyVolumeLimit", OVER_VOLUME, SETTLES_S),
    ("exceedsWeeklyTransactionLimit", OVER_AMOUNT, SETTLES_S),
    ("insufficientFunds", TOO_LITTLE, SETTLES_S),
)

# https://docs.stripe.com/payments/ach-direct-debit/accept-a-payment#test-account-numbers and
# https://docs.stripe.com/payments/sepa-debit/accept-a-payment#test-integration
BANK_ACCOUNTS = (
    _bank("_success", "000123456789"),
    _bank("", "000123456789"),
    _bank("_accountClosed", "000111111113", ACCOUNT_CLOSED),
    _bank("_noAccount", "000111111116", NO_ACCOUNT),
    _bank("_insufficientFunds", "000222222227", TOO_LITTLE),
    _bank("_debitNotAuthorized", "000333333335", NOT_AUTHORIZED),
    _bank("_invalidCurrency", "000444444440", WRONG_CURRENCY),
    _bank("_dispute", "000555555559"),
    _bank("_processing", "000000000009", settles_s=None),
    _bank("_weeklyLimitExceeded", "000777777771", OVER_VOLUME),
    *_sepa(
        "AT",
        "611904300234573201",
        "321904300235473204",
        "861904300235473202",
        "051904300235473205",
        "591904300235473203",
        "981904300000343434",
        "601904300000121212",
        "981904300002222227",
    ),
    *_sepa(
        "BE",
        "62510007547061",
        "78510007547064",
        "68539007547034",
        "51510007547065",
        "08510007547063",
        "90510000343434",
        "52510000121212",
        "90510002222227",
    ),
    *_sepa(
        "DE",
        "89370400440532013000",
        "08370400440532013003",
        "62370400440532013001",
        "78370400440532013004",
        "35370400440532013002",
        "65370400440000343434",
        "27370400440000121212",
        "65370400440002222227",
    ),
    *_sepa(
        "FI",
        "2112345600000785",
        "3712345600000788",
        "9112345600000786",
        "1012345600000789",
        "6412345600000787",
        "6712345600343434",
        "2912345600121212",
        "6712345602222227",
    ),
    *_sepa(
        "FR",
        "1420041010050500013M02606",
        "3020041010050500013M02609",
        "8420041010050500013M02607",
        "7920041010050500013M02600",
        "5720041010050500013M02608",
        "9720041010050000000343434",
        "5920041010050000000121212",
        "9720041010050000002222227",
    ),
    Instrument("pm_sepaDebit", "sepa_debit", "AT611904300234573201", settles_s=SETTLES_S),
)

_ALL_CARDS = (*CARDS, *COUNTRY_CARDS)
ALIASES = {f"pm_card_{card.name}": card for card in _ALL_CARDS} | {account.name: account for account in BANK_ACCOUNTS}
_BY_NUMBER = {item.number: item for item in reversed((*_ALL_CARDS, *BANK_ACCOUNTS))}


def by_alias(alias: str) -> Instrument | None:
    """Find `pm_card_…`, with or without the `visa_` of some aliases, `pm_usBankAccount` and so on."""
    if alias in ALIASES:
        return ALIASES[alias]
    return ALIASES.get(alias.replace("pm_card_visa_", "pm_card_", 1))


def by_token(token: str) -> Instrument | None:
    """Find the card of a token such as `tok_visa` or `tok_chargeDeclined`."""
    return by_alias("pm_card_" + token.removeprefix("tok_")) if token.startswith("tok_") else None


def by_number(number: str) -> Instrument | None:
    return _BY_NUMBER.get(number.replace(" ", ""))


def passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number) if digit.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return bool(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0
