"""Translate refunds and disputes into facts. Pure (https://docs.stripe.com/api/refunds, /api/disputes)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from payment_service.domain.dispute import DisputeFact, DisputeListFact, DisputeStatus
from payment_service.domain.refund import RefundFact, RefundListFact, RefundStatus, RefundTotalFact
from payment_service.provider.stripe.amounts import from_stripe
from payment_service_events.currency import currency

if TYPE_CHECKING:
    from payment_service.provider.port import Request

REFUNDS: Final = "/v1/refunds"
DISPUTES: Final = "/v1/disputes"
# The reasons that Stripe accepts. Any other is stored here only.
_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


# Stripe records a released authorization as such a refund. Nothing was captured, so nothing is refunded.
_RELEASE: Final = "expired_uncaptured_charge"


class MalformedRefund(ValueError):
    """The object is not a valid refund, charge or dispute."""


def refund_form(intent_id: str, refund_id: UUID, payment_id: UUID, amount: int, reason: str) -> str:
    """Build the form of a refund. `amount`: in Stripe's unit. `charge.refunded` does not identify refunds, so set our
    id.
    """
    form = [("payment_intent", intent_id), ("amount", str(amount))]
    if reason in _REASONS:
        form.append(("reason", reason))
    form += [("metadata[payment_id]", str(payment_id)), ("metadata[refund_id]", str(refund_id))]
    return urlencode(form)


def intent_of_refund(request: Request) -> str:
    """Return the intent of a stored request that creates or lists refunds."""
    query = request.body if request.method == "POST" else urlsplit(request.path).query
    return parse_qs(query)["payment_intent"][0]


def next_page(request: Request, page: Any) -> Request | None:
    """Build the request for the next page of a list. Return None if there is none or the page is invalid."""
    try:
        after = _text(page["data"][-1]["id"]) if page["has_more"] is True else None
    except (KeyError, IndexError, TypeError):
        return None
    return replace(request, path=f"{request.path}&{urlencode({'starting_after': after})}") if after else None


def join_pages(first: Any, second: Any) -> dict[str, Any] | None:
    """Join two pages of a list. Return None if the second is invalid."""
    try:
        return {**second, "data": [*first["data"], *second["data"]]}
    except (KeyError, TypeError):
        return None


def is_release(refund: Any) -> bool:
    """Return whether a refund is a released authorization."""
    return isinstance(refund, dict) and refund.get("reason") == _RELEASE


def refund_fact(refund: Any, *, at: int, source: str) -> RefundFact:
    """Translate a refund. Raise MalformedRefund."""
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
    """Translate a list of refunds. Raise MalformedRefund."""
    try:
        refunds = tuple(refund_fact(one, at=at, source=source) for one in page["data"] if not is_release(one))
        whole = page["has_more"] is False
    except (KeyError, TypeError) as error:
        raise _malformed("list of refunds", error) from None
    return RefundListFact(intent_id=intent_id, refunds=refunds, whole=whole, at=at, source=source)


def refund_total_fact(charge: Any, *, at: int, source: str) -> RefundTotalFact:
    """Translate the sum of a charge's refunds. Raise MalformedRefund."""
    try:
        # Stripe counts the released part of an authorization as a refund; it is not one.
        released = charge["amount"] - charge["amount_captured"]
        total = from_stripe(charge["amount_refunded"] - released, currency(charge["currency"]))
        return RefundTotalFact(intent_id=_text(charge["payment_intent"]), total=total, at=at, source=source)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("charge", error) from None


def dispute_fact(dispute: Any, *, at: int, source: str) -> DisputeFact:
    """Translate a dispute. Raise MalformedRefund."""
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


def dispute_list_fact(page: Any, *, at: int, source: str) -> DisputeListFact:
    """Translate a list of disputes. Raise MalformedRefund."""
    try:
        disputes = tuple(dispute_fact(one, at=at, source=source) for one in page["data"])
    except (KeyError, TypeError) as error:
        raise _malformed("list of disputes", error) from None
    return DisputeListFact(disputes=disputes, at=at, source=source)


def _malformed(what: str, error: Exception) -> MalformedRefund:
    return MalformedRefund(f"not a valid {what}: {type(error).__name__}")


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
