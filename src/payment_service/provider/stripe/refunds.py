"""Refunds and disputes, as Stripe words them, become facts. Pure (https://docs.stripe.com/api/refunds, /api/disputes)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from payment_service.domain.dispute import DisputeFact, DisputeStatus
from payment_service.domain.refund import RefundFact, RefundListFact, RefundsMoved, RefundStatus
from payment_service.provider.stripe.amounts import from_stripe
from payment_service_events.currency import currency

if TYPE_CHECKING:
    from payment_service.provider.port import Request

REFUNDS: Final = "/v1/refunds"
# The reasons that Stripe knows; any other is kept by us alone.
_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


# By such a refund Stripe notes that what was held was released: nothing had been captured, so nothing is given back.
_RELEASE: Final = "expired_uncaptured_charge"


class MalformedRefund(ValueError):
    """The object is no refund, charge or dispute that we can read."""


def refund_form(intent_id: str, refund_id: UUID, payment_id: UUID, amount: int, reason: str) -> str:
    """Word the form of a refund. `amount`: as Stripe counts it. What it was is not told again by `charge.refunded`, so it bears our name."""
    form = [("payment_intent", intent_id), ("amount", str(amount))]
    if reason in _REASONS:
        form.append(("reason", reason))
    form += [("metadata[payment_id]", str(payment_id)), ("metadata[refund_id]", str(refund_id))]
    return urlencode(form)


def intent_of_refund(request: Request) -> str:
    """The intent that a stored request (making a refund, or listing them) is about."""
    query = request.body if request.method == "POST" else urlsplit(request.path).query
    return parse_qs(query)["payment_intent"][0]


def next_page(request: Request, page: Any) -> Request | None:
    """Word the reading of the page that follows one of a listing; None: there is no more, or the page can't be read."""
    try:
        after = _text(page["data"][-1]["id"]) if page["has_more"] is True else None
    except (KeyError, IndexError, TypeError):
        return None
    return replace(request, path=f"{request.path}&{urlencode({'starting_after': after})}") if after else None


def join_pages(first: Any, second: Any) -> dict[str, Any] | None:
    """Put two pages of a listing together; None: the second can't be read."""
    try:
        return {**second, "data": [*first["data"], *second["data"]]}
    except (KeyError, TypeError):
        return None


def is_release(refund: Any) -> bool:
    """Whether a refund gives nothing back."""
    return isinstance(refund, dict) and refund.get("reason") == _RELEASE


def refund_fact(refund: Any, *, at: int, source: str) -> RefundFact:
    """Read a refund. Raises MalformedRefund."""
    try:
        if refund["object"] != "refund":
            raise TypeError
        return RefundFact(
            intent_id=_text(refund["payment_intent"]),
            provider_refund_id=_text(refund["id"]),
            refund_id=_named_in(refund.get("metadata"), "refund_id"),
            payment_id=_named_in(refund.get("metadata"), "payment_id"),
            amount=from_stripe(refund["amount"], currency(refund["currency"])),
            status=RefundStatus(refund["status"]),
            failure=_text(refund.get("failure_reason") or "unknown")[:100] if refund["status"] == "failed" else "",
            at=at,
            source=source,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("refund", error) from None


def refund_list_fact(page: Any, *, intent_id: str, at: int, source: str) -> RefundListFact:
    """Read a list of refunds. Raises MalformedRefund."""
    try:
        refunds = tuple(refund_fact(one, at=at, source=source) for one in page["data"] if not is_release(one))
        whole = page["has_more"] is False
    except (KeyError, TypeError) as error:
        raise _malformed("list of refunds", error) from None
    return RefundListFact(intent_id=intent_id, refunds=refunds, whole=whole, at=at, source=source)


def refunds_moved(charge: Any, *, at: int, source: str) -> RefundsMoved:
    """Read what a charge tells of its refunds: their sum alone. Raises MalformedRefund."""
    try:
        # What was held and not captured is released, and counted among the refunds by Stripe alone.
        released = charge["amount"] - charge["amount_captured"]
        total = from_stripe(charge["amount_refunded"] - released, currency(charge["currency"]))
        return RefundsMoved(intent_id=_text(charge["payment_intent"]), total=total, at=at, source=source)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("charge", error) from None


def dispute_fact(dispute: Any, *, at: int, source: str) -> DisputeFact:
    """Read a dispute. Raises MalformedRefund."""
    try:
        details = dispute.get("evidence_details") or {}
        due_by = details.get("due_by")
        return DisputeFact(
            intent_id=_text(dispute["payment_intent"]),
            provider_dispute_id=_text(dispute["id"]),
            amount=from_stripe(dispute["amount"], currency(dispute["currency"])),
            status=DisputeStatus(dispute["status"]),
            reason=_text(dispute["reason"])[:100],
            evidence_due_at=due_by if type(due_by) is int else None,
            at=at,
            source=source,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("dispute", error) from None


def _malformed(what: str, error: Exception) -> MalformedRefund:
    return MalformedRefund(f"not a {what} that can be read: {type(error).__name__}")


def _named_in(metadata: Any, field: str) -> UUID | None:
    text = metadata.get(field) if isinstance(metadata, dict) else None
    try:
        found = UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if str(found) == text else None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value
