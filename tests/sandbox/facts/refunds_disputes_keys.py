"""Facts about refunds, disputes, idempotency keys, payment methods, events and API versions."""

from __future__ import annotations

from tests.sandbox.facts.table import (
    ABSENT,
    CARD,
    CREATE,
    CUSTOMER,
    CUSTOMERS,
    HOLD,
    INTENTS,
    NEW_CARD,
    READ,
    READ_CHARGE,
    REFUNDS,
    Fact,
    Starts,
    canceling,
    paying,
    refunding,
)

REFUNDING = [
    Fact(
        "a card refund succeeds at once and has no livemode",
        "shw",
        [paying(), refunding(amount=300)],
        {"status": "succeeded", "amount": 300, "livemode": ABSENT},
    ),
    Fact(
        "a refund without an amount refunds the remainder",
        "shw",
        [paying(), refunding(amount=300), refunding()],
        {"amount": 700},
    ),
    Fact(
        "two partial refunds leave the charge refunded",
        "aat",
        [paying(), refunding(amount=300), refunding(amount=700), READ_CHARGE],
        {"refunded": True, "amount_refunded": 1000},
    ),
    Fact(
        "a fully refunded payment can't be refunded again",
        "aat",
        [paying(), refunding(), refunding()],
        {"http": 400, "error.type": "invalid_request_error", "error.code": "charge_already_refunded"},
    ),
    Fact(
        "a refund above the payment is rejected with a parameter but no code",
        "aat",
        [paying(), refunding(amount=1001)],
        {"http": 400, "error.type": "invalid_request_error", "error.param": "amount", "error.code": ABSENT},
    ),
    Fact(
        "a refund above the remainder is rejected with a parameter but no code",
        "shw",
        [paying(), refunding(amount=600), refunding(amount=401)],
        {"http": 400, "error.param": "amount", "error.code": ABSENT},
    ),
    Fact(
        "an authorization can't be refunded, and the error has neither code nor parameter",
        "aat",
        [HOLD, refunding()],
        {"http": 400, "error.type": "invalid_request_error", "error.code": ABSENT, "error.param": ABSENT},
    ),
    Fact("an unpaid intent can't be refunded", "shw", [CREATE, refunding()], {"http": 400}),
    Fact("a refund without a payment is rejected", "shw", [("post", REFUNDS, {"amount": 100})], {"http": 400}),
    Fact(
        "a refund generates refund.created, then charge.refunded",
        "shw",
        [paying(), refunding(), ("events", "{0.id}", "refund.created", "charge.refunded", "refund.updated")],
        {"types": ["refund.created", "charge.refunded"]},
    ),
    Fact(
        "refund.created may carry a refund that has succeeded",
        "shw",
        [paying(), refunding(), ("get", "/v1/events", {"type": "refund.created", "limit": 1})],
        {"data.0.data.object.id": "{1.id}", "data.0.data.object.status": "succeeded"},
    ),
    Fact(
        "a refund takes its amount from the balance, without a fee",
        "shw",
        [paying(), refunding(), ("get", "/v1/balance_transactions/{1.balance_transaction}")],
        {"type": "refund", "amount": -1000, "fee": 0, "reporting_category": "refund"},
    ),
    Fact(
        "a card refund can't be canceled",
        "aat",
        [paying(), refunding(), ("post", REFUNDS + "/{1.id}/cancel", {})],
        {"http": 400, "error.type": "invalid_request_error"},
    ),
]
DISPUTING = [
    Fact(
        "a disputed payment stays succeeded",
        "shw",
        [paying("pm_card_createDispute"), READ],
        {"status": "succeeded"},
    ),
    Fact(
        "a chargeback needs a response",
        "shw",
        [paying("pm_card_createDispute"), ("get", "/v1/disputes", {"payment_intent": "{0.id}"})],
        {"data.0.status": "needs_response", "data.0.charge": "{0.latest_charge}"},
    ),
    Fact(
        "an inquiry is a warning that needs a response",
        "shw",
        [paying("pm_card_createDisputeInquiry"), ("get", "/v1/disputes", {"payment_intent": "{0.id}"})],
        {"data.0.status": "warning_needs_response"},
    ),
    Fact(
        "a payment with a chargeback can't be refunded",
        "shw",
        [paying("pm_card_createDispute"), refunding()],
        {"http": 400, "error.code": "charge_disputed"},
    ),
    Fact(
        "a payment under inquiry can be refunded",
        "shw",
        [paying("pm_card_createDisputeInquiry"), refunding()],
        {"http": 200, "status": "succeeded"},
    ),
]
KEYS = [
    Fact(
        "a first request names itself as the original",
        "aat",
        [("post", INTENTS, CARD, {"idempotency_key": "fact-first"})],
        {"header.Original-Request": "{0.request}", "header.Idempotent-Replayed": ABSENT},
    ),
    Fact(
        "a replay returns the first response under a new request ID",
        "aat",
        [("post", INTENTS, CARD, {"idempotency_key": "fact-replay"})] * 2,
        {
            "id": "{0.id}",
            "header.Idempotent-Replayed": "true",
            "header.Original-Request": "{0.request}",
        },
    ),
    Fact(
        "a replay returns the original state",
        "aat",
        [
            ("post", INTENTS, CARD, {"idempotency_key": "fact-stale"}),
            canceling(),
            ("post", INTENTS, CARD, {"idempotency_key": "fact-stale"}),
        ],
        {"id": "{0.id}", "status": "requires_payment_method"},
    ),
    Fact(
        "a key with other parameters is an idempotency_error without code or parameter",
        "aat",
        [
            ("post", INTENTS, CARD, {"idempotency_key": "fact-params"}),
            ("post", INTENTS, {**CARD, "amount": 2000}, {"idempotency_key": "fact-params"}),
        ],
        {
            "http": 400,
            "error.type": "idempotency_error",
            "error.code": ABSENT,
            "error.param": ABSENT,
            "error.decline_code": ABSENT,
        },
    ),
    Fact(
        "a key on another endpoint is an idempotency_error without a code",
        "aat",
        [
            ("post", INTENTS, CARD, {"idempotency_key": "fact-endpoint"}),
            ("post", CUSTOMERS, {}, {"idempotency_key": "fact-endpoint"}),
        ],
        {"http": 400, "error.type": "idempotency_error", "error.code": ABSENT},
    ),
]
REST = [
    Fact(
        "a card created from a token has no customer",
        "aat",
        [NEW_CARD],
        {"customer": None, "type": "card", "card.brand": "visa"},
    ),
    Fact(
        "attaching a test alias creates a method with a new ID",
        "aat",
        [CUSTOMER, ("post", "/v1/payment_methods/pm_card_mastercard/attach", {"customer": "{0.id}"})],
        {"id": Starts("pm_1"), "customer": "{0.id}", "card.brand": "mastercard"},
    ),
    Fact(
        "an unknown token is 400, not 404",
        "aat",
        [("post", "/v1/payment_methods", {"type": "card", "card": {"token": "tok_nope"}})],
        {"http": 400, "error.code": "resource_missing"},
    ),
    Fact(
        "customer.created names the customer and the request that created it",
        "aat",
        [CUSTOMER, ("get", "/v1/events", {"type": "customer.created", "limit": 1})],
        {"data.0.data.object.id": "{0.id}", "data.0.request.id": "{0.request}"},
    ),
    Fact(
        "events use the account's API version, regardless of the request's version",
        "aat",
        [
            ("post", INTENTS, CARD, {"stripe_version": "2020-08-27"}),
            ("get", "/v1/events", {"type": "payment_intent.created", "limit": 1}),
        ],
        {"data.0.data.object.id": "{0.id}", "data.0.api_version": "2026-08-26.dahlia"},
    ),
    Fact(
        "an unknown version is rejected without code or parameter",
        "aat",
        [("post", INTENTS, CARD, {"stripe_version": "yesterday"})],
        {"http": 400, "error.type": "invalid_request_error", "error.code": ABSENT, "error.param": ABSENT},
    ),
    Fact(
        "an old version is accepted and echoed",
        "aat",
        [("post", INTENTS, CARD, {"stripe_version": "2020-08-27"})],
        {"http": 200, "header.Stripe-Version": "2020-08-27"},
    ),
]
