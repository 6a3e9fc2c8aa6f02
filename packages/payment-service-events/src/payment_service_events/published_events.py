"""The published events: one declaration for each topic of `payments.*`, in the order of docs/records.md.

To add an event, add here its data (topic, docs, fields) and its event, and publish the data in the service's domain. Then
run `make docs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import ClassVar, Final, Optional

from payment_service_events.currency import CURRENCIES
from payment_service_events.declaration import Docs, EventData, Response, about
from payment_service_events.event import Event
from payment_service_events.money import Money

__all__ = [
    "PaymentAuthorized",
    "PaymentCanceled",
    "PaymentCaptured",
    "PaymentDisputeClosed",
    "PaymentDisputed",
    "PaymentFailed",
    "PaymentInitiated",
    "PaymentRefundFailed",
    "PaymentRefundInitiated",
    "PaymentRefunded",
    "PaymentSucceeded",
]

_PRICE: Final = Money(1990, CURRENCIES["eur"])
_PART: Final = Money(500, CURRENCIES["eur"])
_NOTHING: Final = Money(0, CURRENCIES["eur"])
_PAID_AT: Final = datetime(2026, 1, 31, 10, tzinfo=timezone.utc)
_A_WEEK_LATER: Final = datetime(2026, 2, 7, 10, tzinfo=timezone.utc)

_TO_PAY: Final = about("The amount to pay, with the currency's decimals.", _PRICE)
_SENTENCE: Final = about("One sentence for people.", "The payment was canceled.")
_PROVIDER_ID: Final = about("The provider's id of the payment.", "pi_example")
_METHOD_ID: Final = about(
    "The provider's id of the method that the customer used; empty if none is known.", "pm_example"
)
_REFUND_ID: Final = about(
    "Identifies the refund in all records and in the API.", "c1a2ad0b-4625-53c1-b374-ffa237e29b4d", format="uuid"
)
_DISPUTE_ID: Final = about(
    "Identifies the dispute in all records and in the API.", "7c02daa9-0d5f-5605-bcd6-c9bfd737ccb5", format="uuid"
)
_DISPUTED: Final = about(
    "The disputed amount, in `currency`.",
    _PRICE,
    currency="ISO 4217, lower case; the currency of the account, which can differ from the payment's.",
)
_DISPUTE_REASON: Final = about("The provider's word.", "fraudulent")


@dataclass(frozen=True)
class Initiated(EventData):
    """The customer can pay now."""

    topic: ClassVar[str] = "payments.initiated"
    docs: ClassVar[Docs] = Docs(
        when="the customer can pay", responses=[Response("awaiting payment", "let the customer pay")]
    )

    amount: Money = field(metadata=_TO_PAY)
    method: str = field(
        metadata=about("The only method offered, else `unknown`; `none` when nothing is to be paid.", "card")
    )


@dataclass(frozen=True)
class PaymentInitiated(Initiated, Event):
    """`Initiated`, as read from its topic."""


@dataclass(frozen=True)
class Authorized(EventData):
    """The money is held until it is captured or released."""

    topic: ClassVar[str] = "payments.authorized"
    docs: ClassVar[Docs] = Docs(
        when="the money is held until it is captured",
        responses=[Response("held", "pack, then request the capture before `capture_before`")],
    )

    amount: Money = field(metadata=about("The amount that is held, with the currency's decimals.", _PRICE))
    payment_method: str = field(metadata=about("The method that the customer used, else `unknown`.", "card"))
    provider_id: str = field(metadata=_PROVIDER_ID)
    capture_before: Optional[datetime] = field(  # noqa: UP045 - evaluated at run time, on Python 3.9 too
        metadata=about(
            "When the hold ends, RFC 3339 in UTC; empty when the provider had not reported it yet."
            " `GET /v1/payments/{id}` shows it as soon as it is known.",
            _A_WEEK_LATER,
        )
    )
    payment_method_id: str = field(default="", metadata=_METHOD_ID)


@dataclass(frozen=True)
class PaymentAuthorized(Authorized, Event):
    """`Authorized`, as read from its topic."""


@dataclass(frozen=True)
class Succeeded(EventData):
    """The payment captured `amount`, out of `amount_ordered`."""

    topic: ClassVar[str] = "payments.succeeded"
    docs: ClassVar[Docs] = Docs(
        when="money was captured",
        responses=[Response("paid", "ship; `amount` may be less than `amount_ordered` when a part was captured")],
    )

    amount: Money = field(metadata=about("The captured amount, with the currency's decimals.", _PRICE))
    amount_ordered: Money = field(metadata=about("The amount of the order.", _PRICE))
    payment_date: datetime = field(metadata=about("RFC 3339 in UTC, by the provider's clock.", _PAID_AT))
    payment_method: str = field(
        metadata=about("The method that the customer used, else `unknown`; `none` when nothing was to be paid.", "card")
    )
    provider_id: str = field(
        metadata=about("The provider's id of the payment; empty when none was needed.", "pi_example")
    )
    payment_method_id: str = field(default="", metadata=_METHOD_ID)


@dataclass(frozen=True)
class PaymentSucceeded(Succeeded, Event):
    """`Succeeded`, as read from its topic."""


@dataclass(frozen=True)
class Captured(EventData):
    """More was captured: after `payments.succeeded`, or in part before it. `amount_captured` is the sum of all captures."""

    topic: ClassVar[str] = "payments.captured"
    docs: ClassVar[Docs] = Docs(
        when="more was captured: after `payments.succeeded`, or a part before it."
        " A payment that is captured once has no such record",
        responses=[Response("unchanged", "store `amount_captured`, the sum of all captures; do not ship again")],
    )

    amount: Money = field(metadata=about("The amount captured in addition.", _PART))
    amount_captured: Money = field(
        metadata=about("The sum of all captures, the amount of `payments.succeeded` included.", _PRICE)
    )
    amount_ordered: Money = field(metadata=about("The amount of the order.", _PRICE))
    provider_id: str = field(metadata=_PROVIDER_ID)


@dataclass(frozen=True)
class PaymentCaptured(Captured, Event):
    """`Captured`, as read from its topic."""


@dataclass(frozen=True)
class Failed(EventData):
    """`final` false: an attempt was declined, keep the order. `final` true: the payment ended unpaid."""

    topic: ClassVar[str] = "payments.failed"
    docs: ClassVar[Docs] = Docs(
        when="`final` false: an attempt was declined; keep the order, because the customer can still pay."
        " `final` true: it ended unpaid and never succeeds after this",
        responses=[
            Response(
                "unchanged",
                "nothing: the customer may try another card; do not cancel the order",
                case="`final` false",
            ),
            Response("unpaid", "release the stock; a new payment may be opened", case="`final` true"),
        ],
        examples=[{"reason": "The payment was canceled.", "code": "canceled", "final": True}],
    )

    amount: Money = field(metadata=_TO_PAY)
    reason: str = field(metadata=about("One sentence for people.", "Your card has insufficient funds."))
    code: str = field(
        metadata=about(
            "The provider's decline code, else its error code. For an end: `canceled`, `expired`, …",
            "insufficient_funds",
        )
    )
    final: bool = field(
        metadata=about("False: the customer may still pay, keep the order. True: it never succeeds after this.", False)  # noqa: FBT003 - an example
    )
    payment_method_id: str = field(default="", metadata=_METHOD_ID)


@dataclass(frozen=True)
class PaymentFailed(Failed, Event):
    """`Failed`, as read from its topic."""


@dataclass(frozen=True)
class Canceled(EventData):
    """The payment was canceled. A final `payments.failed` is published as well."""

    topic: ClassVar[str] = "payments.canceled"
    docs: ClassVar[Docs] = Docs(
        when="it was canceled; a final `payments.failed` is published too",
        responses=[Response("unchanged", "nothing: a final `PaymentFailed` is published as well")],
    )

    amount: Money = field(metadata=_TO_PAY)
    reason: str = field(metadata=_SENTENCE)


@dataclass(frozen=True)
class PaymentCanceled(Canceled, Event):
    """`Canceled`, as read from its topic."""


@dataclass(frozen=True)
class RefundInitiated(EventData):
    """A refund of `amount` was requested."""

    topic: ClassVar[str] = "payments.refund_initiated"
    docs: ClassVar[Docs] = Docs(
        when="a refund was requested, here or at the provider",
        responses=[Response("unchanged", "nothing: the refund may still fail")],
    )

    refund_id: str = field(metadata=_REFUND_ID)
    amount: Money = field(metadata=about("The amount to refund by this refund.", _PART))
    reason: str = field(metadata=about("As given by the requester; may be empty.", "One cup was broken."))


@dataclass(frozen=True)
class PaymentRefundInitiated(RefundInitiated, Event):
    """`RefundInitiated`, as read from its topic."""


@dataclass(frozen=True)
class Refunded(EventData):
    """A refund succeeded. It may still fail, up to 30 days later: then `payments.refund_failed` is published."""

    topic: ClassVar[str] = "payments.refunded"
    docs: ClassVar[Docs] = Docs(
        when="a refund succeeded; `amount_refunded` is the sum of all refunds; `full`: nothing is left",
        responses=[
            Response("`full`: refunded", "`full`: stop the parcel; store `amount_refunded`, the sum of all refunds")
        ],
    )

    refund_id: str = field(metadata=_REFUND_ID)
    amount: Money = field(metadata=about("The amount of this refund.", _PART))
    amount_refunded: Money = field(metadata=about("The sum of all successful refunds.", _PART))
    full: bool = field(metadata=about("True: all captured money has been refunded.", False))  # noqa: FBT003 - an example


@dataclass(frozen=True)
class PaymentRefunded(Refunded, Event):
    """`Refunded`, as read from its topic."""


@dataclass(frozen=True)
class RefundFailed(EventData):
    """`amount` was not refunded, or the bank returned it. `amount_refunded` is the sum of the other refunds."""

    topic: ClassVar[str] = "payments.refund_failed"
    docs: ClassVar[Docs] = Docs(
        when="a refund failed, up to 30 days after it succeeded: the customer does not have this money."
        " A refund that was refused and made later can fail twice, each time under its own `ce_id`",
        responses=[
            Response(
                "unchanged, with a lower `amount_refunded`",
                "the customer did not get this money: pay it back by another way."
                " It may arrive 30 days after `PaymentRefunded`",
            )
        ],
    )

    refund_id: str = field(metadata=_REFUND_ID)
    amount: Money = field(metadata=about("The amount that this refund does not refund.", _PART))
    amount_refunded: Money = field(metadata=about("The sum of all successful refunds.", _NOTHING))
    code: str = field(metadata=about("The provider's reason, or `canceled`.", "expired_or_canceled_card"))


@dataclass(frozen=True)
class PaymentRefundFailed(RefundFailed, Event):
    """`RefundFailed`, as read from its topic."""


@dataclass(frozen=True)
class Disputed(EventData):
    """The customer's bank inquires (`stage` inquiry) or took the money (chargeback), or its decision is appealed."""

    topic: ClassVar[str] = "payments.disputed"
    docs: ClassVar[Docs] = Docs(
        when="the customer's bank asks (`inquiry`) or has withdrawn the money (`chargeback`), its decision is appealed"
        " (`appeal`), or the provider's status is new (`unknown`); submit evidence until `evidence_due_by`",
        responses=[Response("disputed", "hold the parcel, send evidence by `evidence_due_by`")],
    )

    dispute_id: str = field(metadata=_DISPUTE_ID)
    stage: str = field(
        metadata=about(
            "`inquiry`, `chargeback`, `appeal` of a decision, or `unknown`: see `status`.",
            "chargeback",
            enum=["appeal", "chargeback", "inquiry", "unknown"],
        )
    )
    amount: Money = field(metadata=_DISPUTED)
    reason: str = field(metadata=_DISPUTE_REASON)
    status: str = field(
        metadata=about(
            "The provider's word.",
            "needs_response",
            open_enum=[
                "appeal_needs_response",
                "appeal_under_review",
                "lost",
                "needs_response",
                "prevented",
                "under_review",
                "warning_closed",
                "warning_needs_response",
                "warning_under_review",
                "won",
            ],
        )
    )
    evidence_due_by: Optional[datetime] = field(  # noqa: UP045 - evaluated at run time, on Python 3.9 too
        metadata=about("The end of the time for evidence, RFC 3339 in UTC; empty when none is due.", _A_WEEK_LATER)
    )


@dataclass(frozen=True)
class PaymentDisputed(Disputed, Event):
    """`Disputed`, as read from its topic. `evidence_due_by` None: none is due."""


@dataclass(frozen=True)
class DisputeClosed(EventData):
    """A dispute ended: `won`, `lost`, `warning_closed`, `prevented`, or a status added later."""

    topic: ClassVar[str] = "payments.dispute_closed"
    docs: ClassVar[Docs] = Docs(
        when="a dispute ended: `won`, `lost`, `warning_closed`, `prevented`."
        " Published again, under another `ce_id`, if a bank decides again",
        responses=[Response("`lost`: lost; else as before the dispute", "ship, unless it was lost")],
    )

    dispute_id: str = field(metadata=_DISPUTE_ID)
    amount: Money = field(metadata=_DISPUTED)
    reason: str = field(metadata=_DISPUTE_REASON)
    status: str = field(
        metadata=about(
            "`won`, `lost`, `warning_closed` or `prevented`.",
            "won",
            open_enum=["lost", "prevented", "warning_closed", "won"],
        )
    )


@dataclass(frozen=True)
class PaymentDisputeClosed(DisputeClosed, Event):
    """`DisputeClosed`, as read from its topic."""


# Both in the order of the declarations: the data of each event, and the event of each topic.
DATA: Final = tuple(EventData.__subclasses__())
EVENTS: Final = {kind.topic: kind for kind in Event.__subclasses__() if issubclass(kind, EventData)}
