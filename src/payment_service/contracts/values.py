"""The values of `payments.*`, one model a topic. The models are the contract: every field but booleans is a string, never null."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from payment_service.contracts import records

_AMOUNT: Final = "What is to be paid, with the currency's decimals."
_CURRENCY: Final = "ISO 4217, lower case."
_SENTENCE: Final = "One sentence for a person."
_TOTAL: Final = "What all refunds together have given back by now."
_RFC3339: Final = "RFC 3339 in UTC, by the provider's clock."


class Value(BaseModel):
    """What every record has."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    payment_id: str = Field(description="Names the payment; also the record's key.")
    order_id: str
    user_id: str = Field(description="As in the order; empty when it named no user.")

    def encode(self) -> bytes:
        """Give the record's bytes, JSON in UTF-8."""
        return self.__pydantic_serializer__.to_json(self)


class PaymentInitiated(Value):
    """The customer can pay now."""

    amount: str = Field(description=_AMOUNT)
    currency: str = Field(description=_CURRENCY)
    method: str = Field(description="The only method offered, else `unknown`; `none` when nothing is to be paid.")


class PaymentAuthorized(Value):
    """The money is held and waits to be captured."""

    amount: str = Field(description="What is held, with the currency's decimals.")
    currency: str = Field(description=_CURRENCY)
    payment_method: str = Field(description="What the customer paid with, else `unknown`.")
    provider_id: str = Field(description="The provider's name of the payment.")


class PaymentSucceeded(Value):
    """Money was captured."""

    amount: str = Field(description="What was captured, with the currency's decimals.")
    amount_ordered: str = Field(description="What the order asked for.")
    currency: str = Field(description=_CURRENCY)
    payment_date: str = Field(description=_RFC3339)
    payment_method: str = Field(
        description="What the customer paid with, else `unknown`; `none` when nothing was to be paid."
    )
    provider_id: str = Field(description="The provider's name of the payment; empty when none was needed.")


class PaymentFailed(Value):
    """An attempt was declined, or the payment ended unpaid."""

    amount: str = Field(description=_AMOUNT)
    currency: str = Field(description=_CURRENCY)
    reason: str = Field(description=_SENTENCE)
    code: str = Field(description="The provider's decline code, else its error code; of an end: canceled, expired, …")
    final: bool = Field(
        description="False: the customer may still pay, keep the order. True: it never succeeds after this."
    )


class PaymentCanceled(Value):
    """The payment was canceled; a final `payments.failed` stands beside it."""

    amount: str = Field(description=_AMOUNT)
    currency: str = Field(description=_CURRENCY)
    reason: str = Field(description=_SENTENCE)


class PaymentRefundInitiated(Value):
    """Money was asked to be given back."""

    refund_id: str = Field(description="Names the refund in all records and in the API.")
    amount: str = Field(description="What is to be given back by this refund.")
    currency: str = Field(description=_CURRENCY)
    reason: str = Field(description="As it was given; empty where none was.")


class PaymentRefunded(Value):
    """A refund succeeded. It may still fail, up to 30 days later: then `payments.refund_failed` takes it back."""

    refund_id: str = Field(description="Names the refund in all records and in the API.")
    amount: str = Field(description="What this refund has given back.")
    amount_refunded: str = Field(description=_TOTAL)
    currency: str = Field(description=_CURRENCY)
    full: bool = Field(description="True: all that was captured has been given back.")


class PaymentRefundFailed(Value):
    """A refund failed or was canceled: its amount was not given back, or has come back."""

    refund_id: str = Field(description="Names the refund in all records and in the API.")
    amount: str = Field(description="What this refund does not give back.")
    amount_refunded: str = Field(description=_TOTAL)
    currency: str = Field(description=_CURRENCY)
    code: str = Field(description="The provider's reason, or `canceled`.")


class PaymentDisputed(Value):
    """The customer's bank asks about the payment (`inquiry`), or has taken the money (`chargeback`)."""

    dispute_id: str
    stage: str = Field(description="`inquiry` or `chargeback`.")
    amount: str = Field(description="What is disputed, in `currency`.")
    currency: str = Field(description="ISO 4217, lower case; the account's, which may not be the payment's.")
    reason: str = Field(description="The provider's word.")
    status: str = Field(description="The provider's word.")
    evidence_due_by: str = Field(description="Until when evidence is taken, RFC 3339 in UTC; empty where none is.")


class PaymentDisputeClosed(Value):
    """A dispute ended."""

    dispute_id: str
    amount: str = Field(description="What was disputed, in `currency`.")
    currency: str = Field(description="ISO 4217, lower case; the account's, which may not be the payment's.")
    reason: str = Field(description="The provider's word.")
    status: str = Field(description="`won`, `lost`, `warning_closed` or `prevented`.")


BY_TOPIC: Final[Mapping[str, type[Value]]] = MappingProxyType(
    {
        records.PAYMENTS_INITIATED: PaymentInitiated,
        records.PAYMENTS_AUTHORIZED: PaymentAuthorized,
        records.PAYMENTS_SUCCEEDED: PaymentSucceeded,
        records.PAYMENTS_FAILED: PaymentFailed,
        records.PAYMENTS_CANCELED: PaymentCanceled,
        records.PAYMENTS_REFUND_INITIATED: PaymentRefundInitiated,
        records.PAYMENTS_REFUNDED: PaymentRefunded,
        records.PAYMENTS_REFUND_FAILED: PaymentRefundFailed,
        records.PAYMENTS_DISPUTED: PaymentDisputed,
        records.PAYMENTS_DISPUTE_CLOSED: PaymentDisputeClosed,
    }
)
