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


def _parse(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class Refund(BaseModel):
    """A refund, completed or in progress."""

    id: UUID = Field(description="Id of the refund.", examples=["40fbfd7e-41ae-530b-a850-b19351170173"])
    payment_id: OfPayment
    status: str = Field(
        description="pending, requires_action, succeeded (may still fail, up to 30 days later), failed, canceled.",
        examples=["pending"],
        json_schema_extra={"x-extensible-enum": ["pending", "requires_action", "succeeded", "failed", "canceled"]},
    )
    amount: Amount = Field(examples=["5.00"])
    currency: CurrencyCode
    reason: str = Field(description="The reason given in the request; empty if none.")
    failure_code: str = Field(description="The provider's failure code; empty if it did not fail.")
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
    """A payment with the first page of its refunds and of its disputes, newest first."""

    refunds: Page[Refund] = Field(description="More: `/v1/payments/{id}/refunds`.")
    disputes: Page[Dispute] = Field(description="More: `/v1/payments/{id}/disputes`.")
