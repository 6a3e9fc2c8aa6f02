"""Resources of `/v1` and the command line, one model each. These models are the API's contract."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, get_args
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ShownStatus = Literal[
    "created",
    "pending",
    "requires_action",
    "processing",
    "declined",
    "authorized",
    "succeeded",
    "canceled",
    "failed",
    "partially_refunded",
    "refunded",
]
STATUSES: Final[tuple[str, ...]] = get_args(ShownStatus)

# Fields that several resources share.
Amount = Annotated[
    str, Field(description="Decimal text with exactly the currency's number of decimals.", examples=["19.90"])
]
CurrencyCode = Annotated[str, Field(description="ISO 4217, lower case.", examples=["eur"])]
ProviderName = Annotated[str, Field(description="The provider's name, one of `PROVIDERS`.", examples=["stripe"])]
OfPayment = Annotated[UUID, Field(description="Id of the payment.", examples=["ae21913b-5b2f-5c29-8abf-153dfb1cfa87"])]
OfOrder = Annotated[str, Field(description="Id of the order in the shop.", examples=["order-1001"])]
CreatedAt = Annotated[
    datetime, Field(description="Time when the service stored it.", examples=["2026-12-25T14:00:00.417000Z"])
]
ReceiptUrl = Annotated[
    str | None,
    Field(
        description="The provider's receipt page for the customer; null if none is known.",
        examples=["https://pay.stripe.com/receipts/payment/example"],
    ),
]
UpdatedAt = Annotated[datetime, Field(description="Time of the last change.", examples=["2026-12-25T14:00:02.093000Z"])]

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    # A parametrized model does not inherit the docstring.
    model_config = ConfigDict(json_schema_extra={"description": "A page of a list."})

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Return names such as PaymentPage, which client generators accept. Timeline entries are a union."""
        return f"{params[0].__name__ if isinstance(params[0], type) else 'TimelineEntry'}Page"

    data: list[T] = Field(description="The entries of this page.")
    has_more: bool = Field(description="True if another page follows.", examples=[False])
    next_cursor: str | None = Field(
        description="Send it as `cursor`, with the same filters, to get the next page; null on the last page.",
        examples=[None],
    )


def _parse(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class PaymentMethod(BaseModel):
    """The method of an attempt to pay. A card shows its last four digits only."""

    id: str | None = Field(description="The provider's id; null if unknown.", examples=["pm_1SxYz1"])
    type: str | None = Field(description="The provider's word; null if unknown.", examples=["card"])
    brand: str | None = Field(description="Of a card; null for another method.", examples=["visa"])
    last4: str | None = Field(description="Of a card or an account.", examples=["4242"])
    funding: str | None = Field(description="credit, debit, prepaid or unknown.", examples=["credit"])
    country: str | None = Field(description="Of the issuer, ISO 3166-1.", examples=["DE"])
    wallet: str | None = Field(description="The wallet that held the card; null: none.", examples=["apple_pay"])

    def in_words(self) -> str:
        """Return the method for people, such as `visa 4242 (credit, DE, apple_pay)`."""
        name = " ".join(word for word in (self.brand or self.type, self.last4) if word) or "an unknown method"
        more = ", ".join(word for word in (self.funding, self.country, self.wallet) if word)
        return f"{name} ({more})" if more else name


class PaymentAttempt(BaseModel):
    """An attempt of the customer to pay, as the provider reported it."""

    provider_charge_id: str | None = Field(
        description="The provider's id of the charge; null if none was made.", examples=["ch_3SxYz1"]
    )
    status: str = Field(
        description="pending (a bank has not decided), declined, succeeded (captured or authorized).",
        examples=["succeeded"],
        json_schema_extra={"x-extensible-enum": ["pending", "declined", "succeeded"]},
    )
    amount: Amount
    currency: CurrencyCode
    decline_code: str | None = Field(
        description="The provider's decline code, else its error code; null: not declined. Some codes are not for customers.",
        examples=["insufficient_funds"],
    )
    decline_reason: str | None = Field(
        description="A sentence for the customer.", examples=["The card has insufficient funds."]
    )
    payment_method: PaymentMethod = Field(description="The method that the customer used.")
    receipt_url: ReceiptUrl
    occurred_at: datetime = Field(description="Time at the provider.", examples=["2026-12-25T14:00:01Z"])


class Payment(BaseModel):
    """A payment of one order."""

    id: OfPayment
    order_id: OfOrder
    user_id: str = Field(description="Empty if the order has no user.", examples=["user-7"])
    status: str = Field(
        description="created, pending, requires_action, processing, declined (may still be paid), authorized, succeeded, "
        "canceled, failed; derived: partially_refunded, refunded.",
        examples=["succeeded"],
        json_schema_extra={"x-extensible-enum": list(STATUSES)},
    )
    amount: Amount
    amount_captured: Amount = Field(description="Sum of the captures, as decimal text.")
    amount_refunded: Amount = Field(description="Sum of the completed refunds, as decimal text.", examples=["0.00"])
    currency: CurrencyCode
    provider: ProviderName
    provider_payment_id: str | None = Field(description="The provider's id; null until it has one.")
    metadata: Annotated[dict[str, str], BeforeValidator(_parse)] = Field(
        description="Names and values of the shop, from the order.", examples=[{"campaign": "spring"}]
    )
    payment_method_id: str | None = Field(
        description="The provider's id of the method that paid; null until then.", examples=["pm_1SxYz1"]
    )
    payment_method: PaymentMethod | None = Field(
        description="The method that paid, else that of the latest attempt; null: no attempt is known."
    )
    receipt_url: ReceiptUrl
    capture_method: str = Field(
        description="automatic: captured when paid. manual: authorized when paid, and captured on request.",
        examples=["automatic"],
        json_schema_extra={"x-extensible-enum": ["automatic", "manual"]},
    )
    capture_before: datetime | None = Field(
        description="The authorization ends at this time: capture before it. null: not authorized, or not known yet.",
        examples=["2027-01-01T14:00:00Z"],
    )
    expires_at: datetime | None = Field(
        description="An unpaid payment is canceled at this time; null: never.", examples=["2026-12-26T14:00:00Z"]
    )
    created_at: CreatedAt
    updated_at: UpdatedAt


class Pay(BaseModel):
    """Data of the provider to let the customer pay. It may be secret, so `repr` shows the provider only."""

    model_config = ConfigDict(extra="allow")

    provider: ProviderName

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("provider", self.provider)]


Step = Literal["pay", "wait", "done", "open_new"]


class Checkout(BaseModel):
    """Data for a shop's page to let a customer pay an order, if the order can be paid."""

    payment_id: OfPayment
    order_id: OfOrder
    status: str = Field(
        description="The payment's status.",
        examples=["pending"],
        json_schema_extra={"x-extensible-enum": list(STATUSES)},
    )
    amount: Amount
    currency: CurrencyCode
    provider: str = Field(description="`none` if there was nothing to pay.", examples=["stripe"])
    next: Step = Field(
        description="pay: let the customer pay with `pay`. wait: an event will be published when the provider is done. done: "
        "nothing is left to pay. open_new: the payment ended unpaid; POST /v1/payments opens a new one."
    )
    detail: str = Field(description="The next step in one sentence.", examples=["The customer can pay."])
    pay: Pay | None = Field(description="How to pay, in the form of `provider`; null if there is nothing to pay.")


class PaymentEvent(BaseModel):
    """A provider event of a payment, without its content."""

    id: UUID = Field(description="Our id of the event.", examples=["5d3f8a52-6f0b-4c1e-9f4b-6c8f6f8e2a11"])
    type: str = Field(description="The provider's type of the event.", examples=["payment_intent.succeeded"])
    provider_event_id: str = Field(description="The provider's id of the event.", examples=["evt_3SxYz1"])
    processed: bool = Field(description="True once it was applied, or found to change nothing.", examples=[True])
    result: str | None = Field(description="The result of applying it, or why it waits.", examples=["applied"])
    occurred_at: datetime = Field(description="Time at the provider.", examples=["2026-12-25T14:00:01Z"])
    created_at: CreatedAt


class Refund(BaseModel):
    """A refund, completed or in progress."""

    id: UUID = Field(description="Id of the refund.", examples=["40fbfd7e-41ae-530b-a850-b19351170173"])
    payment_id: OfPayment
    order_id: OfOrder
    status: str = Field(
        description="pending, requires_action, succeeded (may still fail, up to 30 days later), failed, canceled.",
        examples=["pending"],
        json_schema_extra={"x-extensible-enum": ["pending", "requires_action", "succeeded", "failed", "canceled"]},
    )
    amount: Amount = Field(examples=["5.00"])
    currency: CurrencyCode
    reason: str = Field(description="The reason given in the request; empty if none.")
    failure_code: str = Field(description="The provider's failure code; empty if it did not fail.")
    bank_reference: str | None = Field(
        description="The reference by which the customer's bank finds the refund (of cards: the ARN); null until the provider "
        "reports it.",
        examples=["74208445336230009123456"],
    )
    expected_at: datetime | None = Field(
        description="The customer has the money by this time, by the provider's rule; null if it has none for the method.",
        examples=["2027-01-08T14:00:40Z"],
    )
    external: bool = Field(description="True: created at the provider, not by this service as far as it is known.")
    provider: ProviderName
    provider_refund_id: str | None = Field(description="The provider's id; null until it has one.")
    metadata: Annotated[dict[str, str], BeforeValidator(_parse)] = Field(
        description="The metadata of the request.", examples=[{"ticket": "4711"}]
    )
    created_at: CreatedAt
    updated_at: UpdatedAt


class Dispute(BaseModel):
    """A dispute: a customer's bank questions a payment or has withdrawn the money."""

    id: UUID = Field(description="Id of the dispute.", examples=["c1b1c8e2-2f6e-5b8e-8b8a-7d2f8f4c6a90"])
    payment_id: OfPayment
    order_id: OfOrder
    status: str = Field(
        description="warning_needs_response, warning_under_review, warning_closed (inquiries); needs_response, under_review, "
        "prevented, lost, won; appeal_needs_response, appeal_under_review; or a word that the provider added.",
        examples=["needs_response"],
    )
    amount: Amount
    currency: str = Field(
        description="ISO 4217, lower case. It is the account's currency and may differ from the payment's.",
        examples=["eur"],
    )
    reason: str = Field(description="The provider's reason code.", examples=["fraudulent"])
    evidence_due_by: datetime | None = Field(description="Deadline for evidence; null if none is accepted.")
    provider: ProviderName
    provider_dispute_id: str = Field(description="The provider's id of the dispute.", examples=["du_1SxZa2"])
    created_at: CreatedAt
    updated_at: UpdatedAt


class AuditEntry(BaseModel):
    """A change that a person or an API key requested and the service accepted."""

    id: int = Field(description="Number of the entry.", examples=[17])
    at: datetime = Field(description="Time of the change.", examples=["2026-12-25T14:00:40Z"])
    client: str = Field(
        description="Client of the API key, or `cli:` and the name of the person.", examples=["cli:ada"]
    )
    key_id: UUID | None = Field(description="The API key; null for the command line.", examples=[None])
    address: str = Field(description="Network address; for the command line its host.", examples=["10.0.0.7"])
    action: str = Field(description="The requested change.", examples=["refund"])
    payment_id: UUID | None = Field(
        description="Id of the payment; null: about none.", examples=["ae21913b-5b2f-5c29-8abf-153dfb1cfa87"]
    )
    why: str = Field(description="The requester's reason; empty if none was given.", examples=["ticket 4711"])
    detail: Annotated[dict[str, Any], BeforeValidator(_parse)] = Field(
        description="The request, with the caller's Idempotency-Key as `key`.",
        examples=[{"amount": "5.00", "key": "cli-1f0c3a5b7d9e2468"}],
    )


class SearchHit(BaseModel):
    """A payment that a search found."""

    matched: str = Field(
        description="The field that has the text: order, payment, refund, dispute, charge, event, bank_reference, user or card.",
        examples=["refund"],
        json_schema_extra={
            "x-extensible-enum": [
                "order",
                "payment",
                "refund",
                "dispute",
                "charge",
                "event",
                "bank_reference",
                "user",
                "card",
            ]
        },
    )
    name: str = Field(description="The id or reference that matched.", examples=["re_3SxYz1"])
    payment: Payment = Field(description="The payment.")


class SearchResult(BaseModel):
    """The payments that a search found, at most 100."""

    data: list[SearchHit] = Field(description="The payments, newest first.")
    has_more: bool = Field(
        description="True: more payments match. List them by a filter, or search for more of the text.",
        examples=[False],
    )


class Reconciliation(BaseModel):
    """A comparison of the provider's objects with the database, over a window of their creation."""

    id: UUID = Field(description="Id of the run.", examples=["7b0f6f0e-2f0a-4a57-9a43-0b0f4a0c8a11"])
    state: str = Field(
        description="running or finished.",
        examples=["finished"],
        json_schema_extra={"x-extensible-enum": ["running", "finished"]},
    )
    since: datetime = Field(description="Begin of the window, inclusive.")
    until: datetime = Field(description="End of the window, inclusive.")
    compared: int = Field(description="Number of objects and rows compared so far.")
    ignored: int = Field(description="Objects of other programs in the same account.")
    found: int = Field(description="Differences found, repaired ones included.")
    repaired: int = Field(description="Differences that were certain, and repaired.")
    postponed: int = Field(description="Differences that may be timing. A later reconciliation compares them again.")
    started_at: datetime = Field(description="Time when the run began.", examples=["2026-12-25T14:00:00Z"])
    finished_at: datetime | None = Field(description="Null while it runs.")


class PaymentDetail(Payment):
    """A payment with its attempts, and the first page of its refunds and of its disputes, newest first."""

    attempts: list[PaymentAttempt] = Field(description="Attempts of the customer to pay, newest first, at most 100.")
    refunds: Page[Refund] = Field(description="More: `/v1/payments/{id}/refunds`.")
    disputes: Page[Dispute] = Field(description="More: `/v1/payments/{id}/disputes`.")
