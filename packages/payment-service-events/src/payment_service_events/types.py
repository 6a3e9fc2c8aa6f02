"""The events: a frozen type for each topic of `payments.*`. docs/records.md describes each topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Optional

from payment_service_events.money import Money


@dataclass(frozen=True)
class Record:
    """The record as received, with headers as text. Store it: a later version of this package can read it again."""

    topic: str
    value: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Event:
    """The fields that all events share.

    `id` is stable across repeated deliveries. `sequence` counts a payment's records over all topics, from 1. `attempt`
    counts the payments of an order, from 1. `user_id` is empty when the order had none.
    """

    id: str
    sequence: int
    attempt: int
    time: datetime
    payment_id: str
    order_id: str
    user_id: str
    record: Record = field(repr=False, compare=False)


@dataclass(frozen=True)
class PaymentInitiated(Event):
    """The customer can pay now."""

    amount: Money
    method: str


@dataclass(frozen=True)
class PaymentAuthorized(Event):
    """The money is held until it is captured or released."""

    amount: Money
    payment_method: str
    provider_id: str


@dataclass(frozen=True)
class PaymentSucceeded(Event):
    """The payment captured `amount`, out of `amount_ordered`."""

    amount: Money
    amount_ordered: Money
    payment_date: datetime
    payment_method: str
    provider_id: str


@dataclass(frozen=True)
class PaymentFailed(Event):
    """`final` false: an attempt was declined, keep the order. `final` true: the payment ended unpaid."""

    amount: Money
    reason: str
    code: str
    final: bool


@dataclass(frozen=True)
class PaymentCanceled(Event):
    """The payment was canceled. A final `PaymentFailed` is published as well."""

    amount: Money
    reason: str


@dataclass(frozen=True)
class PaymentRefundInitiated(Event):
    """A refund of `amount` was requested."""

    refund_id: str
    amount: Money
    reason: str


@dataclass(frozen=True)
class PaymentRefunded(Event):
    """`amount` was refunded, `amount_refunded` by all refunds together. `full`: nothing is left to refund."""

    refund_id: str
    amount: Money
    amount_refunded: Money
    full: bool


@dataclass(frozen=True)
class PaymentRefundFailed(Event):
    """`amount` was not refunded, or the bank returned it. `amount_refunded` is the sum of the other refunds."""

    refund_id: str
    amount: Money
    amount_refunded: Money
    code: str


@dataclass(frozen=True)
class PaymentDisputed(Event):
    """The customer's bank inquires (`stage` inquiry) or took the money (chargeback). `evidence_due_by` None: none is due."""

    dispute_id: str
    stage: str
    amount: Money
    reason: str
    status: str
    evidence_due_by: Optional[datetime]  # noqa: UP045 - evaluated at run time, on Python 3.9 too


@dataclass(frozen=True)
class PaymentDisputeClosed(Event):
    """A dispute ended: `won`, `lost`, `warning_closed`, `prevented`, or a status added later."""

    dispute_id: str
    amount: Money
    reason: str
    status: str


@dataclass(frozen=True)
class Unknown(Event):
    """A record of a topic added after this version. `value` is its JSON; numbers with a fraction are Decimal."""

    value: Mapping[str, Any]
