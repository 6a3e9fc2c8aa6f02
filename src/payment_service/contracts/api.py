"""What `/v1` and the command line show: one model a resource. The models are the contract of the API."""

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

_AMOUNT: Final = "Decimal text with exactly the currency's decimals."


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """PaymentPage and the like: names that a client made from the description can bear. Entries of timelines are a union."""
        return f"{params[0].__name__ if isinstance(params[0], type) else 'TimelineEntry'}Page"

    data: list[T]
    has_more: bool
    next_cursor: str | None = Field(
        description="Send it as `cursor` to read on, with the same filters; null at the end."
    )


class Payment(BaseModel):
    """One attempt to be paid for one order."""

    id: UUID
    order_id: str = Field(examples=["order-1001"])
    user_id: str = Field(description="Empty where the order named none.", examples=["user-7"])
    status: str = Field(
        description="created, pending, requires_action, processing, declined (may still be paid), authorized, succeeded, "
        "canceled, failed; derived: partially_refunded, refunded.",
        examples=["succeeded"],
        json_schema_extra={"x-extensible-enum": list(STATUSES)},
    )
    amount: str = Field(description=_AMOUNT, examples=["19.90"])
    amount_captured: str = Field(description=_AMOUNT, examples=["19.90"])
    amount_refunded: str = Field(description=_AMOUNT, examples=["0.00"])
    currency: str = Field(description="ISO 4217, lower case.", examples=["eur"])
    provider: str = Field(examples=["stripe"])
    provider_payment_id: str | None = Field(description="The provider's name for it, once it has one.")
    capture_method: str = Field(
        description="automatic; manual: what the customer pays is held until it is captured.",
        examples=["automatic"],
        json_schema_extra={"x-extensible-enum": ["automatic", "manual"]},
    )
    expires_at: datetime | None = Field(
        description="When it is canceled if it is still unpaid; null: never.", examples=["2026-12-26T14:00:00Z"]
    )
    created_at: datetime
    updated_at: datetime


class StripePay(BaseModel):
    """What Stripe.js needs to let the customer pay."""

    provider: Literal["stripe"]
    publishable_key: str = Field(description="Empty where the service is not told it.", examples=["pk_test_51Example"])
    client_secret: str = Field(
        repr=False,
        description="For the paying customer alone: store it nowhere, log it nowhere, put it into no address.",
        examples=["pi_3SxYz1_secret_example"],
    )
    method_types: list[str] = Field(examples=[["card"]])


class BankTransferPay(BaseModel):
    """What a customer's bank needs to transfer `amount`."""

    provider: Literal["bank_transfer"]
    iban: str = Field(examples=["DE02120300000000202051"])
    account_holder: str = Field(examples=["A Shop Ltd"])
    reference: str = Field(
        description="The transfer must bear it: the money is known by it.", examples=["RF18539007547034"]
    )


class OtherPay(BaseModel):
    """What another provider needs; its own documentation says what that is."""

    model_config = ConfigDict(extra="allow")

    provider: str

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("provider", self.provider)]


Step = Literal["pay", "wait", "done", "open_new"]


class Checkout(BaseModel):
    """What a shop's page needs to let a customer pay an order, and whether there is anything to pay."""

    payment_id: UUID
    order_id: str
    status: str = Field(
        description="Of the payment.", examples=["pending"], json_schema_extra={"x-extensible-enum": list(STATUSES)}
    )
    amount: str = Field(description=_AMOUNT, examples=["19.90"])
    currency: str = Field(description="ISO 4217, lower case.", examples=["eur"])
    provider: str = Field(description="`none` where there was nothing to pay.", examples=["stripe"])
    next: Step = Field(
        description="pay: let the customer pay by `pay`; wait: the provider is at work, its end will be announced; done: "
        "there is nothing to pay; open_new: it ended unpaid, POST /v1/payments opens a new one."
    )
    detail: str = Field(description="The same in a sentence.", examples=["The customer can pay."])
    pay: Annotated[StripePay | BankTransferPay | OtherPay, Field(union_mode="left_to_right")] | None = Field(
        description="How to pay, as `provider` needs it; null where there is nothing to pay."
    )


class PaymentEvent(BaseModel):
    """What the provider told about a payment, without its content."""

    id: UUID
    type: str = Field(examples=["payment_intent.succeeded"])
    provider_event_id: str
    processed: bool
    result: str | None = Field(description="What became of it, or why it waits.", examples=["applied"])
    occurred_at: datetime = Field(description="The provider's clock.")
    created_at: datetime = Field(description="When it was stored.")


def _parse(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class Refund(BaseModel):
    """Money given back, or on its way."""

    id: UUID
    payment_id: UUID
    status: str = Field(
        description="pending, requires_action, succeeded (may still fail, up to 30 days later), failed, canceled.",
        examples=["pending"],
        json_schema_extra={"x-extensible-enum": ["pending", "requires_action", "succeeded", "failed", "canceled"]},
    )
    amount: str = Field(description=_AMOUNT, examples=["5.00"])
    currency: str = Field(description="ISO 4217, lower case.", examples=["eur"])
    reason: str = Field(description="As it was asked for; empty where none was given.")
    failure_code: str = Field(description="Why it failed, in the provider's word; empty where it did not.")
    external: bool = Field(description="True: made at the provider, not asked of this service as far as it knows.")
    provider: str = Field(examples=["stripe"])
    provider_refund_id: str | None = Field(description="The provider's name for it, once it has one.")
    metadata: Annotated[dict[str, str], BeforeValidator(_parse)]
    created_at: datetime
    updated_at: datetime


class Dispute(BaseModel):
    """A customer's bank asks about a payment, or has taken the money."""

    id: UUID
    payment_id: UUID
    status: str = Field(
        description="warning_needs_response, warning_under_review, warning_closed (inquiries); needs_response, under_review, "
        "prevented, lost, won.",
        examples=["needs_response"],
    )
    amount: str = Field(description=_AMOUNT, examples=["19.90"])
    currency: str = Field(
        description="ISO 4217, lower case; the account's, which may not be the payment's.", examples=["eur"]
    )
    reason: str = Field(description="The provider's word.", examples=["fraudulent"])
    evidence_due_by: datetime | None = Field(description="Until when evidence is taken; null where none is.")
    provider: str = Field(examples=["stripe"])
    provider_dispute_id: str
    created_at: datetime
    updated_at: datetime


class PaymentDetail(Payment):
    """A payment with what hangs on it: the first page of its refunds and of its disputes, the newest first."""

    refunds: Page[Refund] = Field(description="Read on at `/v1/payments/{id}/refunds`.")
    disputes: Page[Dispute] = Field(description="Read on at `/v1/payments/{id}/disputes`.")
