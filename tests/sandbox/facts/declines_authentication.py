"""Facts about declines and 3-D Secure."""

from __future__ import annotations

from tests.sandbox.facts.table import (
    ABSENT,
    CREATE,
    EVENTS,
    READ_FAILED_CHARGE,
    READ_LEFT_BEHIND,
    RETURN,
    SOME,
    WRONG_STATE,
    Fact,
    Starts,
    capturing,
    confirming,
    paying,
)

DECLINED = [
    ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline", ABSENT, "try_again_later"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds", ABSENT, "try_again_later"),
    ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card", ABSENT, "do_not_try_again"),
    ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card", ABSENT, "do_not_try_again"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card", "exp_month", "confirm_card_data"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc", "cvc", "confirm_card_data"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error", ABSENT, "try_again_later"),
    ("pm_card_chargeDeclinedFraudulent", "card_declined", "fraudulent", ABSENT, ABSENT),
]
DECLINES = [
    *(
        Fact(
            f"{card} is declined with {decline_code}",
            "aat",
            [CREATE, confirming(payment_method=card)],
            {
                "http": 402,
                "error.type": "card_error",
                "error.code": code,
                "error.decline_code": decline_code,
                "error.param": param,
                "error.advice_code": advice_code,
                "error.payment_intent.id": "{0.id}",
                "error.payment_intent.status": "requires_payment_method",
            },
        )
        for card, code, decline_code, param, advice_code in DECLINED
    ),
    Fact(
        "a decline resets the intent, and the error contains it",
        "shw",
        [paying("pm_card_chargeCustomerFail")],
        {
            "http": 402,
            "error.message": "Your card was declined.",
            "error.charge": Starts("ch_"),
            "error.param": ABSENT,
            "error.payment_intent.status": "requires_payment_method",
            "error.payment_intent.payment_method": None,
            "error.payment_intent.latest_charge": "{0.error.charge}",
            "error.payment_intent.last_payment_error.code": "card_declined",
            "error.payment_intent.last_payment_error.charge": "{0.error.charge}",
            "error.payment_intent.last_payment_error.payment_method.object": "payment_method",
        },
    ),
    Fact(
        "the charge of a declined payment is failed",
        "shw",
        [paying("pm_card_chargeCustomerFail"), READ_FAILED_CHARGE],
        {"status": "failed", "failure_code": "card_declined", "paid": False, "captured": False},
    ),
    Fact(
        "a decline generates charge.failed, then payment_failed",
        "shw",
        [CREATE, confirming(payment_method="pm_card_visa_chargeDeclined"), EVENTS],
        {"types": ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]},
    ),
    Fact(
        "another card pays a declined intent",
        "aat",
        [CREATE, confirming(payment_method="pm_card_visa_chargeDeclined"), confirming(payment_method="pm_card_visa")],
        {"http": 200, "id": "{0.id}", "status": "succeeded"},
    ),
    Fact(
        "a declined create keeps its intent",
        "aat",
        [paying("pm_card_visa_chargeDeclined"), READ_LEFT_BEHIND],
        {"http": 200, "status": "requires_payment_method"},
    ),
]
AUTHENTICATING = [
    Fact(
        "a card that needs authentication requires a redirect",
        "aat",
        [paying("pm_card_authenticationRequired", return_url=RETURN)],
        {
            "status": "requires_action",
            "next_action.type": "redirect_to_url",
            "next_action.redirect_to_url.return_url": RETURN,
            "next_action.redirect_to_url.url": SOME,
        },
    ),
    Fact(
        "without a return_url, the SDK handles authentication, and there is no charge yet",
        "shw",
        [paying("pm_card_threeDSecure2Required")],
        {"status": "requires_action", "next_action.type": "use_stripe_sdk", "latest_charge": None},
    ),
    Fact(
        "a challenge generates requires_action",
        "shw",
        [paying("pm_card_threeDSecure2Required"), EVENTS],
        {"types": ["payment_intent.created", "payment_intent.requires_action"]},
    ),
    Fact(
        "capturing an intent that requires authentication is the wrong state",
        "aat",
        [paying("pm_card_authenticationRequired", capture_method="manual", return_url=RETURN), capturing()],
        WRONG_STATE,
    ),
    Fact(
        "error_on_requires_action declines the card",
        "aat",
        [paying("pm_card_authenticationRequired", error_on_requires_action=True)],
        {
            "http": 402,
            "error.code": "authentication_required",
            "error.decline_code": "authentication_not_handled",
        },
    ),
    Fact(
        "error_on_requires_action keeps the intent",
        "aat",
        [paying("pm_card_authenticationRequired", error_on_requires_action=True), READ_LEFT_BEHIND],
        {"http": 200, "status": "requires_payment_method"},
    ),
    Fact(
        "an off-session card that needs authentication is declined without a charge",
        "shw",
        [paying("pm_card_threeDSecure2Required", off_session=True)],
        {
            "http": 402,
            "error.type": "card_error",
            "error.code": "authentication_required",
            "error.decline_code": "authentication_required",
            "error.message": "Your card was declined. This transaction requires authentication.",
            "error.charge": ABSENT,
            "error.payment_method.object": "payment_method",
            "error.payment_intent.status": "requires_payment_method",
            "error.payment_intent.latest_charge": None,
        },
    ),
    Fact(
        "an off-session decline keeps the intent",
        "aat",
        [paying("pm_card_threeDSecure2Required", off_session=True), READ_LEFT_BEHIND],
        {"http": 200, "status": "requires_payment_method"},
    ),
]
