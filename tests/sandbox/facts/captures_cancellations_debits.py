"""Facts about captures, cancellations, updates and bank debits."""

from __future__ import annotations

from tests.sandbox.facts.table import (
    ABSENT,
    CREATE,
    EVENTS,
    HOLD,
    INTENTS,
    READ,
    READ_CHARGE,
    SOME,
    WRONG_STATE,
    Fact,
    Starts,
    canceling,
    capturing,
    paying,
)

CAPTURING = [
    Fact(
        "an authorization is a paid, uncaptured charge with a capture deadline",
        "shw",
        [HOLD, READ_CHARGE],
        {
            "status": "succeeded",
            "paid": True,
            "captured": False,
            "amount_captured": 0,
            "payment_method_details.card.capture_before": SOME,
        },
    ),
    Fact(
        "the full amount of an authorization is capturable",
        "aat",
        [HOLD],
        {"status": "requires_capture", "amount_capturable": 1000, "amount_received": 0},
    ),
    Fact(
        "a partial capture completes the payment",
        "aat",
        [HOLD, capturing(amount_to_capture=500)],
        {"status": "succeeded", "amount": 1000, "amount_received": 500, "amount_capturable": 0},
    ),
    Fact(
        "a partial capture shows on the charge",
        "shw",
        [HOLD, capturing(amount_to_capture=500), READ_CHARGE],
        {"captured": True, "amount_captured": 500},
    ),
    Fact(
        "a capture merges metadata",
        "shw",
        [HOLD, capturing(metadata={"a": "b"}), READ],
        {"metadata": {"a": "b"}},
    ),
    Fact(
        "a capture generates charge.captured, then succeeded",
        "shw",
        [HOLD, capturing(), EVENTS],
        {
            "types": [
                "payment_intent.created",
                "charge.succeeded",
                "payment_intent.amount_capturable_updated",
                "charge.captured",
                "payment_intent.succeeded",
            ]
        },
    ),
    Fact(
        "a capture above the authorized amount is too large",
        "shw",
        [HOLD, capturing(amount_to_capture=9999)],
        {
            "http": 400,
            "error.code": "amount_too_large",
            "error.message": Starts("The payment could not be captured because the requested"),
            "error.payment_intent.id": "{0.id}",
        },
    ),
    Fact(
        "capturing a negative amount has no code",
        "shw",
        [HOLD, capturing(amount_to_capture=-100)],
        {
            "http": 400,
            "error.code": ABSENT,
            "error.param": "amount_to_capture",
            "error.message": "Invalid non-negative integer",
            "error.payment_intent.id": "{0.id}",
        },
    ),
    Fact(
        "the error for a capture of 0 names the parameter amount",
        "shw",
        [HOLD, capturing(amount_to_capture=0)],
        {
            "http": 400,
            "error.code": "parameter_invalid_integer",
            "error.param": "amount",
            "error.message": "This value must be greater than or equal to 1.",
            "error.payment_intent.id": "{0.id}",
        },
    ),
    Fact(
        "a rejected capture leaves the authorization",
        "shw",
        [HOLD, capturing(amount_to_capture=0), READ],
        {"status": "requires_capture", "amount_capturable": 1000},
    ),
    Fact(
        "the error message for capturing a paid intent",
        "shw",
        [paying(), capturing()],
        {
            **WRONG_STATE,
            "error.message": "The remaining amount on this PaymentIntent could not be captured because the remainder of"
            " the authorized amount has been released.",
        },
    ),
    Fact(
        "the error message for capturing an unconfirmed intent",
        "shw",
        [CREATE, capturing()],
        {
            **WRONG_STATE,
            "error.message": "This PaymentIntent could not be captured because it has a status of"
            " requires_payment_method. Only a PaymentIntent with one of the following statuses may be captured:"
            " requires_capture.",
        },
    ),
]
CANCELING = [
    Fact(
        "cancel echoes the reason",
        "shw",
        [CREATE, canceling(cancellation_reason="abandoned")],
        {"status": "canceled", "cancellation_reason": "abandoned", "canceled_at": SOME},
    ),
    Fact(
        "a canceled authorization has the given reason",
        "aat",
        [HOLD, canceling(cancellation_reason="requested_by_customer")],
        {"status": "canceled", "cancellation_reason": "requested_by_customer", "amount_capturable": 0},
    ),
    Fact(
        "a cancellation without a reason has the reason null", "shw", [HOLD, canceling()], {"cancellation_reason": None}
    ),
    Fact(
        "the charge of a canceled authorization stays uncaptured",
        "shw",
        [HOLD, canceling(), READ_CHARGE],
        {"status": "succeeded", "captured": False},
    ),
    Fact(
        "the error message for canceling twice",
        "shw",
        [CREATE, canceling(), canceling()],
        {
            **WRONG_STATE,
            "error.message": "You cannot cancel this PaymentIntent because it has a status of canceled. Only a"
            " PaymentIntent with one of the following statuses may be canceled: requires_payment_method,"
            " requires_capture, requires_reauthorization, requires_confirmation, requires_action, expired, processing.",
        },
    ),
    Fact(
        "canceling a paid intent is the wrong state",
        "shw",
        [paying(), canceling()],
        {
            **WRONG_STATE,
            "error.message": Starts("You cannot cancel this PaymentIntent because it has a status of succeeded."),
        },
    ),
]
UPDATING = [
    Fact(
        "the amount, description and metadata of an open intent can change",
        "aat",
        [CREATE, ("post", INTENTS + "/{0.id}", {"amount": 5100, "description": "after", "metadata": {"u": "v"}})],
        {"amount": 5100, "description": "after", "metadata": {"u": "v"}},
    ),
    Fact(
        "the amount of a paid intent can't change",
        "shw",
        [paying(), ("post", INTENTS + "/{0.id}", {"amount": 9999})],
        {
            **WRONG_STATE,
            "error.param": "amount",
            "error.payment_intent.id": "{0.id}",
            "error.message": "This PaymentIntent's amount could not be updated because it has a status of succeeded."
            " You may only update the amount of a PaymentIntent with one of the following statuses:"
            " requires_payment_method, requires_confirmation, requires_action.",
        },
    ),
    Fact(
        "the description and metadata of a paid intent can change",
        "shw",
        [paying(), ("post", INTENTS + "/{0.id}", {"metadata": {"u": "v"}, "description": "after"})],
        {"http": 200, "metadata": {"u": "v"}, "description": "after"},
    ),
]
BANKS = [
    Fact(
        f"{method} {'succeeds' if failure is None else 'fails with ' + failure} after processing",
        "aat",
        [
            paying(method, payment_method_types=[kind], currency=currency),
            READ,
            ("clock", 20),
            ("get", INTENTS + "/{0.id}", {"expand": ["latest_charge"]}),
        ],
        {
            "status": "succeeded" if failure is None else "requires_payment_method",
            "latest_charge.failure_code": failure,
            "last_payment_error.code": ABSENT if failure is None else "payment_intent_payment_attempt_failed",
        },
    )
    for method, kind, currency, failure in (
        ("pm_success_de", "sepa_debit", "eur", None),
        ("pm_failed_de", "sepa_debit", "eur", "incorrect_account_holder_name"),
        ("pm_usBankAccount_success", "us_bank_account", "usd", None),
        ("pm_usBankAccount_insufficientFunds", "us_bank_account", "usd", "insufficient_funds"),
        ("pm_usBankAccount_accountClosed", "us_bank_account", "usd", "account_closed"),
    )
]
