"""The test cards and bank accounts, and what each of them does (https://docs.stripe.com/testing)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Decline:
    """What the issuer says; `code` is the error's code, `param` the field to correct."""

    code: str
    decline_code: str
    message: str
    advice_code: str | None = None
    param: str | None = None


class Challenge(Enum):
    """When the card asks its holder to authenticate (3-D Secure)."""

    NEVER = "never"
    ALWAYS = "always"
    ON_SESSION = "on_session"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A test payment method; `number` is the card number, account number or IBAN."""

    name: str
    type: str
    number: str
    brand: str = "visa"
    funding: str = "credit"
    decline: Decline | None = None
    challenge: Challenge = Challenge.NEVER

    @property
    def last4(self) -> str:
        return self.number[-4:]


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
BANK_REJECTION = Decline(
    "payment_method_provider_decline",
    "generic_decline",
    "The payment was declined by the bank of the customer.",
)


def _card(
    name: str,
    number: str,
    decline: Decline | None = None,
    challenge: Challenge = Challenge.NEVER,
    brand: str = "visa",
    funding: str = "credit",
) -> Instrument:
    return Instrument(name, "card", number, brand, funding, decline, challenge)


_ALWAYS = Challenge.ALWAYS

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
    _card("diners", "3056930009020004", brand="diners"),
    _card("diners_14digits", "36227206271667", brand="diners"),
    _card("jcb", "3566002020360505", brand="jcb"),
    _card("unionpay", "6200000000000005", brand="unionpay"),
    _card("bypassPending", "4000000000000077"),
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
    _card("chargeCustomerFail", "4000000000000341", GENERIC),
    _card("createDispute", "4000000000000259"),
    _card("createDisputeProductNotReceived", "4000000000002685"),
    _card("createDisputeInquiry", "4000000000001976"),
    _card("createIssuerFraudRecord", "4000000000005423"),
    _card("pendingRefund", "4000000000007726"),
    _card("refundFail", "4000000000005126"),
    _card("authenticationRequiredOnSetup", "4000002500003155", None, _ALWAYS),
    _card("authenticationRequired", "4000002760003184", None, _ALWAYS),
    _card(
        "authenticationRequiredSetupForOffSession",
        "4000003800000446",
        None,
        Challenge.ON_SESSION,
    ),
    _card(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        INSUFFICIENT_FUNDS,
        _ALWAYS,
    ),
    _card("threeDSecure2Required", "4000000000003220", None, _ALWAYS),
    _card("threeDSecureRequired", "4000000000003063", None, _ALWAYS),
    _card("threeDSecureRequiredChargeDeclined", "4000008400001629", GENERIC, _ALWAYS),
)

BANK_ACCOUNTS = (
    Instrument("pm_usBankAccount", "us_bank_account", "000123456789"),
    Instrument("pm_usBankAccount_success", "us_bank_account", "000123456789"),
    Instrument("pm_sepaDebit", "sepa_debit", "AT611904300234573201"),
    Instrument("pm_sepaDebit_de", "sepa_debit", "DE89370400440532013000"),
)

ALIASES = {f"pm_card_{card.name}": card for card in CARDS} | {account.name: account for account in BANK_ACCOUNTS}
_BY_NUMBER = {item.number: item for item in reversed((*CARDS, *BANK_ACCOUNTS))}


def by_alias(alias: str) -> Instrument | None:
    """`pm_card_…` with or without the `visa_` that some aliases carry; `pm_usBankAccount` etc."""
    if alias in ALIASES:
        return ALIASES[alias]
    return ALIASES.get(alias.replace("pm_card_visa_", "pm_card_", 1))


def by_token(token: str) -> Instrument | None:
    """`tok_visa`, `tok_chargeDeclined`: the token of the card of that name."""
    return by_alias("pm_card_" + token.removeprefix("tok_")) if token.startswith("tok_") else None


def by_number(number: str) -> Instrument | None:
    return _BY_NUMBER.get(number.replace(" ", ""))


def passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number) if digit.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return bool(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0
