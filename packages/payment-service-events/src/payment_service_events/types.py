"""One frozen type for each topic of `payments.*`. What each topic means: docs/records.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from payment_service_events.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record as it came, to be kept: what is unknown today can be read again by a later version. Headers as text."""

    topic: str
    value: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every record tells.

    `id` stays the same however often the record comes. `sequence` counts a payment's records over all topics, `attempt` the
    payments of an order, both from 1. `user_id` is empty where the order named nobody.
    """

    id: str
    sequence: int
    attempt: int
    time: datetime
    payment_id: str
    order_id: str
    user_id: str
    record: Record = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentInitiated(Event):
    """The customer can pay now."""

    amount: Money
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAuthorized(Event):
    """The money is held and waits to be captured."""

    amount: Money
    payment_method: str
    provider_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSucceeded(Event):
    """Money was captured: `amount`, of `amount_ordered`."""

    amount: Money
    amount_ordered: Money
    payment_date: datetime
    payment_method: str
    provider_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFailed(Event):
    """`final` false: an attempt was declined, keep the order. `final` true: it ended unpaid."""

    amount: Money
    reason: str
    code: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCanceled(Event):
    """It was canceled; a final PaymentFailed stands beside it."""

    amount: Money
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundInitiated(Event):
    """`amount` was asked to be given back."""

    refund_id: str
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefunded(Event):
    """`amount` was given back, `amount_refunded` by all refunds together; `full`: nothing is left."""

    refund_id: str
    amount: Money
    amount_refunded: Money
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRefundFailed(Event):
    """`amount` was not given back, or has come back; `amount_refunded` is what other refunds have given."""

    refund_id: str
    amount: Money
    amount_refunded: Money
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDisputed(Event):
    """The customer's bank asks (`stage` inquiry), or has taken the money (chargeback). `evidence_due_by` None: none is awaited."""

    dispute_id: str
    stage: str
    amount: Money
    reason: str
    status: str
    evidence_due_by: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDisputeClosed(Event):
    """A dispute ended: `won`, `lost`, `warning_closed`, `prevented`, or a word that is new."""

    dispute_id: str
    amount: Money
    reason: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(Event):
    """A topic that this version does not know. `value` is its JSON; numbers with a fraction are Decimal."""

    value: Mapping[str, Any]
