"""The format of a fact: the steps that lead to a response, and the expected values in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ABSENT = object()
SOME = object()
"""Expect any value but null."""

Step = tuple[Any, ...]
"""A call (method, path, parameters, headers), or another step: ("clock", seconds) or ("events", intent, *types).
`{0.id}` stands for the `id` in the response of the first step."""


@dataclass(frozen=True, slots=True)
class Starts:
    """Expect a string that starts with `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """The steps to run in order, and the expected values in the last response.

    The keys of `expected` are dotted paths: `http` is the status, `header.X` a header, and every other path leads into
    the body. `source` names the project that observed the fact.
    """

    name: str
    source: str
    steps: Sequence[Step]
    expected: dict[str, Any]


CARD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
INTENTS, REFUNDS, CUSTOMERS = "/v1/payment_intents", "/v1/refunds", "/v1/customers"
CREATE: Step = ("post", INTENTS, CARD)


def paying(method: str = "pm_card_visa", **more: Any) -> Step:
    return ("post", INTENTS, {**CARD, "payment_method": method, "confirm": True, **more})


def confirming(**params: Any) -> Step:
    return ("post", INTENTS + "/{0.id}/confirm", params)


def capturing(**params: Any) -> Step:
    return ("post", INTENTS + "/{0.id}/capture", params)


def canceling(**params: Any) -> Step:
    return ("post", INTENTS + "/{0.id}/cancel", params)


def refunding(**params: Any) -> Step:
    return ("post", REFUNDS, {"payment_intent": "{0.id}", **params})


HOLD = paying(capture_method="manual")
READ: Step = ("get", INTENTS + "/{0.id}")
READ_CHARGE: Step = ("get", "/v1/charges/{0.latest_charge}")
READ_FAILED_CHARGE: Step = ("get", "/v1/charges/{0.error.charge}")
READ_LEFT_BEHIND: Step = ("get", INTENTS + "/{0.error.payment_intent.id}")
EVENTS: Step = ("events", "{0.id}")
WRONG_STATE = {"http": 400, "error.type": "invalid_request_error", "error.code": "payment_intent_unexpected_state"}
CUSTOMER: Step = ("post", CUSTOMERS, {"email": "ada@example.com"})
NEW_CARD: Step = ("post", "/v1/payment_methods", {"type": "card", "card": {"token": "tok_visa"}})
ATTACH: Step = ("post", "/v1/payment_methods/{1.id}/attach", {"customer": "{0.id}"})
NO_METHOD = "You cannot confirm this PaymentIntent because it's missing a payment method. "
RETURN = "https://shop.example/done"
