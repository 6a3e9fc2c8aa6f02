"""The sample orders, the behavior of their customers, and the expected results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from payment_service.contracts.records import ORDERS_CREATED_DLQ
from payment_service_events.published_events import Failed, Initiated, Succeeded

_PAID: Final = (Initiated.topic, Succeeded.topic)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample order. `cards`: the test cards that the customer tries, in turn (https://docs.stripe.com/testing)."""

    order_id: str
    total: str
    currency: str
    story: str
    cards: tuple[str, ...]
    published: tuple[str, ...]
    status: str | None  # None: the order leads to no payment
    copies: int = 1

    def value(self) -> bytes:
        """Return the record as a store writes it."""
        return json.dumps(
            {
                "order_id": self.order_id,
                "user_id": f"customer-of-{self.order_id}",
                "total": self.total,
                "currency": self.currency,
                "items_count": 1,
                "items": [{"product_id": "sample", "quantity": 1, "price": self.total}],
            }
        ).encode()


SAMPLES: Final = (
    Sample("order-1", "49.90", "eur", "pays by Visa", ("pm_card_visa",), _PAID, "succeeded"),
    Sample("order-2", "1249.00", "usd", "pays by Mastercard", ("pm_card_mastercard",), _PAID, "succeeded"),
    Sample("order-3", "5400", "jpy", "pays in yen, which have no decimals", ("pm_card_visa",), _PAID, "succeeded"),
    Sample("order-4", "12.340", "kwd", "pays in dinars, which have three", ("pm_card_visa",), _PAID, "succeeded"),
    Sample("order-5", "75.00", "gbp", "is declined and gives up", ("pm_card_chargeDeclined",),
           (Initiated.topic, Failed.topic), "declined"),
    Sample("order-6", "18.50", "eur", "is declined, then pays by another card",
           ("pm_card_chargeDeclinedInsufficientFunds", "pm_card_visa"), (Initiated.topic, Failed.topic, Succeeded.topic),
           "succeeded"),
    Sample("order-7", "0.00", "usd", "has nothing to pay", (), _PAID, "succeeded"),
    Sample("order-8", "33.00", "chf", "pays; the order is delivered twice", ("pm_card_visa",), _PAID, "succeeded", copies=2),
    Sample("order-9", "12.345", "usd", "pays half a cent", (), (ORDERS_CREATED_DLQ,), None),
)  # fmt: skip
