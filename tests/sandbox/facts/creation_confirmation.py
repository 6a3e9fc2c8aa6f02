"""Facts about creating and confirming intents."""

from __future__ import annotations

from tests.sandbox.facts.table import (
    ABSENT,
    ATTACH,
    CARD,
    CREATE,
    CUSTOMER,
    EVENTS,
    HOLD,
    INTENTS,
    NEW_CARD,
    NO_METHOD,
    READ_CHARGE,
    WRONG_STATE,
    Fact,
    Starts,
    confirming,
    paying,
)

CREATING = [
    Fact(
        "a plain create has these defaults",
        "shw",
        [CREATE],
        {
            "status": "requires_payment_method",
            "capture_method": "automatic_async",
            "confirmation_method": "automatic",
            "amount_details": {"tip": {}},
            "amount_capturable": 0,
            "amount_received": 0,
            "latest_charge": None,
            "payment_method": None,
            "client_secret": Starts("{0.id}_secret_"),
        },
    ),
    Fact("a plain create generates one event", "shw", [CREATE, EVENTS], {"types": ["payment_intent.created"]}),
    Fact(
        "an intent created with a payment method requires confirmation",
        "shw",
        [("post", INTENTS, {**CARD, "payment_method": "pm_card_visa"})],
        {"status": "requires_confirmation", "payment_method": Starts("pm_")},
    ),
    Fact(
        "an amount of 0 is an invalid integer, with the message for the minimum",
        "shw",
        [("post", INTENTS, {**CARD, "amount": 0})],
        {
            "http": 400,
            "error.code": "parameter_invalid_integer",
            "error.param": "amount",
            "error.message": Starts("The amount must be greater than or equal to the minimum"),
        },
    ),
    Fact(
        "an amount under the minimum is too small",
        "shw",
        [("post", INTENTS, {**CARD, "amount": 49})],
        {"http": 400, "error.code": "amount_too_small"},
    ),
    Fact(
        "an amount over the maximum is too large",
        "shw",
        [("post", INTENTS, {**CARD, "amount": 100_000_000})],
        {"http": 400, "error.code": "amount_too_large"},
    ),
    Fact(
        "the error for a missing intent names the placeholder in the path",
        "shw",
        [("get", INTENTS + "/pi_nope")],
        {"http": 404, "error.message": "No such payment_intent: 'pi_nope'", "error.param": "intent"},
    ),
    Fact(
        "the error for confirming a missing intent names the placeholder in the path",
        "shw",
        [("post", INTENTS + "/pi_nope/confirm", {})],
        {"http": 404, "error.param": "intent"},
    ),
    Fact(
        "latest_charge expands to the charge",
        "shw",
        [paying(), ("get", INTENTS + "/{0.id}", {"expand": ["latest_charge"]})],
        {"latest_charge.object": "charge", "latest_charge.payment_intent": "{0.id}"},
    ),
    Fact(
        "a list by customer is newest first",
        "shw",
        [
            CUSTOMER,
            ("post", INTENTS, {**CARD, "customer": "{0.id}", "amount": 1100}),
            ("post", INTENTS, {**CARD, "customer": "{0.id}", "amount": 2200}),
            ("get", INTENTS, {"customer": "{0.id}"}),
        ],
        {"object": "list", "url": INTENTS, "data.0.amount": 2200, "data.1.amount": 1100, "data.2": ABSENT},
    ),
    Fact(
        "has_more is false on a last page with items",
        "aat",
        [
            CUSTOMER,
            ("post", INTENTS, {**CARD, "customer": "{0.id}"}),
            ("get", INTENTS, {"customer": "{0.id}", "limit": 1}),
        ],
        {"has_more": False, "data.0.id": "{1.id}"},
    ),
]
CONFIRMING = [
    Fact(
        "a confirmed create succeeds with one fully captured charge",
        "shw",
        [paying(), READ_CHARGE],
        {"status": "succeeded", "captured": True, "paid": True, "amount_captured": 1000, "payment_intent": "{0.id}"},
    ),
    Fact(
        "a success generates the charge's event before the intent's",
        "shw",
        [paying(), EVENTS],
        {"types": ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]},
    ),
    Fact(
        "the dispute events of a dispute card precede the intent's success",
        "shw",
        [paying("pm_card_createDispute"), EVENTS],
        {
            "types": [
                "payment_intent.created",
                "charge.succeeded",
                "charge.dispute.created",
                "charge.dispute.funds_withdrawn",
                "payment_intent.succeeded",
            ]
        },
    ),
    Fact(
        "manual capture generates charge.succeeded, then amount_capturable_updated",
        "shw",
        [HOLD, EVENTS],
        {"types": ["payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated"]},
    ),
    Fact(
        "the method of the confirm call takes precedence over the intent's",
        "shw",
        [
            ("post", INTENTS, {**CARD, "payment_method": "pm_card_visa"}),
            confirming(payment_method="pm_card_mastercard", expand=["payment_method"]),
        ],
        {"status": "succeeded", "payment_method.card.brand": "mastercard"},
    ),
    Fact(
        "a confirm call without a method uses the intent's",
        "shw",
        [("post", INTENTS, {**CARD, "payment_method": "pm_card_visa"}), confirming()],
        {"status": "succeeded", "payment_method": "{0.payment_method}"},
    ),
    Fact(
        "the error message for confirming without a method",
        "shw",
        [CREATE, confirming()],
        {
            **WRONG_STATE,
            "error.payment_intent.id": "{0.id}",
            "error.message": NO_METHOD
            + "You can either update the PaymentIntent with a payment method and then confirm"
            " it again, or confirm it again directly with a payment method or ConfirmationToken.",
        },
    ),
    Fact(
        "the error message for confirming a customer's intent without a method",
        "shw",
        [CUSTOMER, ("post", INTENTS, {**CARD, "customer": "{0.id}"}), ("post", INTENTS + "/{1.id}/confirm", {})],
        {
            "http": 400,
            "error.message": NO_METHOD + "To confirm the PaymentIntent with {0.id}, specify a payment method attached"
            " to this customer along with the customer ID.",
        },
    ),
    Fact(
        "an intent without a customer rejects a customer's method",
        "shw",
        [CUSTOMER, NEW_CARD, ATTACH, CREATE, ("post", INTENTS + "/{3.id}/confirm", {"payment_method": "{1.id}"})],
        {
            "http": 400,
            "error.code": "parameter_missing",
            "error.param": "source",
            "error.message": "The `payment_method` parameter supplied {1.id} belongs to the Customer {0.id}. Please"
            " include the Customer in the `customer` parameter on the PaymentIntent.",
            "error.payment_intent.id": "{3.id}",
        },
    ),
    Fact(
        "a customer's intent rejects another customer's method",
        "shw",
        [
            CUSTOMER,
            NEW_CARD,
            ATTACH,
            CUSTOMER,
            ("post", INTENTS, {**CARD, "customer": "{3.id}"}),
            ("post", INTENTS + "/{4.id}/confirm", {"payment_method": "{1.id}"}),
        ],
        {
            "http": 400,
            "error.code": ABSENT,
            "error.param": "payment_method",
            "error.message": "The PaymentMethod {1.id} does not belong to the Customer you supplied {3.id}. Please use"
            " this PaymentMethod with the Customer that it belongs to instead.",
            "error.payment_intent.id": "{4.id}",
        },
    ),
    Fact(
        "a new unattached method pays an intent without a customer",
        "shw",
        [CREATE, NEW_CARD, confirming(payment_method="{1.id}")],
        {"status": "succeeded", "latest_charge": Starts("ch_")},
    ),
    Fact(
        "an unattached method pays only once",
        "shw",
        [CREATE, NEW_CARD, confirming(payment_method="{1.id}"), paying("{1.id}")],
        {"http": 400, "error.message": Starts("The provided PaymentMethod was previously used with a PaymentIntent")},
    ),
    Fact(
        "confirming a paid intent is the wrong state",
        "aat",
        [paying(), confirming(payment_method="pm_card_visa")],
        {**WRONG_STATE, "error.payment_intent.id": "{0.id}"},
    ),
]
