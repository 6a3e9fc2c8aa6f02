"""Translate disputes into facts. No I/O except logs (https://docs.stripe.com/api/disputes)."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, urlencode

from payment_service.domain.dispute import DisputeFact, DisputeListFact, DisputeStatus, read_status
from payment_service.provider.port import Request
from payment_service.provider.stripe.amounts import from_stripe
from payment_service.provider.stripe.api_versions import API_VERSION
from payment_service.provider.stripe.ids import object_id
from payment_service.provider.stripe.times import seconds
from payment_service.provider.stripe.unknown_values import report_unknown
from payment_service_events.currency import currency

DISPUTES: Final = "/v1/disputes"
_PAGE_SIZE: Final = 100  # Stripe's maximum
_STATUS: Final = re.compile(r"[a-z0-9_]{1,64}")


class MalformedDispute(ValueError):
    """The object is not a valid dispute."""


def retrieve_dispute(dispute_id: str) -> Request:
    """Build the retrieval of a dispute (https://docs.stripe.com/api/disputes/retrieve)."""
    return Request(method="GET", path=f"{DISPUTES}/{quote(dispute_id, safe='')}", body="", api_version=API_VERSION)


def list_disputes(intent_id: str) -> Request:
    """Build the list of an intent's disputes (https://docs.stripe.com/api/disputes/list)."""
    query = urlencode({"payment_intent": intent_id, "limit": _PAGE_SIZE})
    return Request(method="GET", path=f"{DISPUTES}?{query}", body="", api_version=API_VERSION)


def dispute_list_fact(page: Any, *, at: int, source: str) -> DisputeListFact:
    """Translate a list of disputes. Raise MalformedDispute."""
    try:
        disputes = tuple(dispute_fact(one, at=at, source=source, from_read=True) for one in page["data"])
    except (KeyError, TypeError) as error:
        message = f"not a valid list of disputes: {type(error).__name__}"
        raise MalformedDispute(message) from None
    return DisputeListFact(disputes=disputes, at=at, source=source)


def dispute_fact(dispute: Any, *, at: int, source: str, from_read: bool = False) -> DisputeFact:
    """Translate a dispute. Raise MalformedDispute."""
    try:
        details = dispute.get("evidence_details") or {}
        due_by = details.get("due_by")
        return DisputeFact(
            intent_id=object_id(dispute["payment_intent"]),
            provider_dispute_id=object_id(dispute["id"]),
            amount=from_stripe(dispute["amount"], currency(dispute["currency"])),
            status=_status(dispute["status"]),
            reason=_text(dispute["reason"])[:100],
            # Zero: the bank accepts no evidence (evidence_details.due_by of the object).
            evidence_due_at=due_by if type(due_by) is int and due_by > 0 else None,
            at=at,
            source=source,
            bank_has_money=_bank_has_money(dispute),
            created_at=seconds(dispute.get("created")),
            from_read=from_read,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"not a valid dispute: {type(error).__name__}"
        raise MalformedDispute(message) from None


def _status(word: object) -> str:
    if not isinstance(word, str) or _STATUS.fullmatch(word) is None:
        raise TypeError
    status = read_status(word)
    if not isinstance(status, DisputeStatus):
        report_unknown("dispute.status", word)
    return status


def _bank_has_money(dispute: Any) -> bool:
    """Return whether Stripe moved money to the bank, or refuses refunds. Without these fields, assume it."""
    transactions = dispute.get("balance_transactions")
    if not isinstance(transactions, list) or dispute.get("is_charge_refundable") is not True:
        return True
    return sum(int(transaction["amount"]) for transaction in transactions) < 0


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value
