"""The values of `payments.*`, one model a topic. The models are the contract: every field but booleans is a string, never null.

What a field looks like is told to readers (`contracts/schemas.py`) and tested on every record that the suite sees; it is not
tested while a record is made, where nothing could be done about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from payment_service.contracts import records
from payment_service.domain.dispute import DisputeStatus


def _looks(**keywords: Any) -> Any:
    """Keywords of JSON Schema, for readers."""
    return Field(json_schema_extra=keywords)


Id = Annotated[str, _looks(format="uuid")]
Amount = Annotated[str, _looks(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{2,3})?$")]
CurrencyCode = Annotated[str, _looks(pattern="^[a-z]{3}$")]
Time = Annotated[str, _looks(pattern=records.TIME_PATTERN)]
TimeOrEmpty = Annotated[str, _looks(pattern=f"^$|{records.TIME_PATTERN}")]
Stage = Annotated[str, _looks(enum=["inquiry", "chargeback"])]
# Words of the provider, who may find more of them.
DisputeWord = Annotated[str, _looks(**{"x-extensible-enum": sorted(DisputeStatus)})]
ClosedWord = Annotated[str, _looks(**{"x-extensible-enum": ["lost", "prevented", "warning_closed", "won"]})]

_AMOUNT: Final = "What is to be paid, with the currency's decimals."
_CURRENCY: Final = "ISO 4217, lower case."
_SENTENCE: Final = "One sentence for a person."
_TOTAL: Final = "What all refunds together have given back by now."
_RFC3339: Final = "RFC 3339 in UTC, by the provider's clock."


class Value(BaseModel):
    """What every record has."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    payment_id: Id = Field(description="Names the payment; also the record's key.")
    order_id: str = Field(description="The shop's name of the order.")
    user_id: str = Field(description="As in the order; empty when it named no user.")

    def encode(self) -> bytes:
        """Give the record's bytes, JSON in UTF-8."""
        return self.__pydantic_serializer__.to_json(self)


class PaymentInitiated(Value):
    """The customer can pay now."""

    amount: Amount = Field(description=_AMOUNT)
    currency: CurrencyCode = Field(description=_CURRENCY)
    method: str = Field(description="The only method offered, else `unknown`; `none` when nothing is to be paid.")


class PaymentAuthorized(Value):
    """The money is held and waits to be captured."""

    amount: Amount = Field(description="What is held, with the currency's decimals.")
    currency: CurrencyCode = Field(description=_CURRENCY)
    payment_method: str = Field(description="What the customer paid with, else `unknown`.")
    provider_id: str = Field(description="The provider's name of the payment.")


class PaymentSucceeded(Value):
    """Money was captured."""

    amount: Amount = Field(description="What was captured, with the currency's decimals.")
    amount_ordered: Amount = Field(description="What the order asked for.")
    currency: CurrencyCode = Field(description=_CURRENCY)
    payment_date: Time = Field(description=_RFC3339)
    payment_method: str = Field(
        description="What the customer paid with, else `unknown`; `none` when nothing was to be paid."
    )
    provider_id: str = Field(description="The provider's name of the payment; empty when none was needed.")


class PaymentFailed(Value):
    """An attempt was declined, or the payment ended unpaid."""

    amount: Amount = Field(description=_AMOUNT)
    currency: CurrencyCode = Field(description=_CURRENCY)
    reason: str = Field(description=_SENTENCE)
    code: str = Field(description="The provider's decline code, else its error code; of an end: canceled, expired, …")
    final: bool = Field(
        description="False: the customer may still pay, keep the order. True: it never succeeds after this."
    )


class PaymentCanceled(Value):
    """The payment was canceled; a final `payments.failed` stands beside it."""

    amount: Amount = Field(description=_AMOUNT)
    currency: CurrencyCode = Field(description=_CURRENCY)
    reason: str = Field(description=_SENTENCE)


class PaymentRefundInitiated(Value):
    """Money was asked to be given back."""

    refund_id: Id = Field(description="Names the refund in all records and in the API.")
    amount: Amount = Field(description="What is to be given back by this refund.")
    currency: CurrencyCode = Field(description=_CURRENCY)
    reason: str = Field(description="As it was given; empty where none was.")


class PaymentRefunded(Value):
    """A refund succeeded. It may still fail, up to 30 days later: then `payments.refund_failed` takes it back."""

    refund_id: Id = Field(description="Names the refund in all records and in the API.")
    amount: Amount = Field(description="What this refund has given back.")
    amount_refunded: Amount = Field(description=_TOTAL)
    currency: CurrencyCode = Field(description=_CURRENCY)
    full: bool = Field(description="True: all that was captured has been given back.")


class PaymentRefundFailed(Value):
    """A refund failed or was canceled: its amount was not given back, or has come back."""

    refund_id: Id = Field(description="Names the refund in all records and in the API.")
    amount: Amount = Field(description="What this refund does not give back.")
    amount_refunded: Amount = Field(description=_TOTAL)
    currency: CurrencyCode = Field(description=_CURRENCY)
    code: str = Field(description="The provider's reason, or `canceled`.")


class PaymentDisputed(Value):
    """The customer's bank asks about the payment (`inquiry`), or has taken the money (`chargeback`)."""

    dispute_id: Id = Field(description="Names the dispute in all records and in the API.")
    stage: Stage = Field(description="`inquiry` or `chargeback`.")
    amount: Amount = Field(description="What is disputed, in `currency`.")
    currency: CurrencyCode = Field(description="ISO 4217, lower case; the account's, which may not be the payment's.")
    reason: str = Field(description="The provider's word.")
    status: DisputeWord = Field(description="The provider's word.")
    evidence_due_by: TimeOrEmpty = Field(
        description="Until when evidence is taken, RFC 3339 in UTC; empty where none is."
    )


class PaymentDisputeClosed(Value):
    """A dispute ended."""

    dispute_id: Id = Field(description="Names the dispute in all records and in the API.")
    amount: Amount = Field(description="What was disputed, in `currency`.")
    currency: CurrencyCode = Field(description="ISO 4217, lower case; the account's, which may not be the payment's.")
    reason: str = Field(description="The provider's word.")
    status: ClosedWord = Field(description="`won`, `lost`, `warning_closed` or `prevented`.")


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
