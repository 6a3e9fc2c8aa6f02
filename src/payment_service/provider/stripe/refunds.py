"""Translate refunds into facts. No I/O except logs (https://docs.stripe.com/api/refunds)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from payment_service.domain.refund import RefundFact, RefundListFact, RefundStatus, RefundTotalFact
from payment_service.provider.port import Request
from payment_service.provider.stripe.amounts import from_stripe
from payment_service.provider.stripe.api_versions import API_VERSION, OWN
from payment_service.provider.stripe.ids import object_id
from payment_service.provider.stripe.times import seconds
from payment_service.provider.stripe.unknown_values import report_unknown
from payment_service_events.currency import currency

if TYPE_CHECKING:
    from payment_service.provider.stripe.api_versions import Major

REFUNDS: Final = "/v1/refunds"
_PAGE_SIZE: Final = 100  # Stripe's maximum
# The reasons that Stripe accepts. Any other is stored here only.
_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


_REFERENCE: Final = re.compile(r"[\x21-\x7e]{1,64}")
# "5-10 business days" (https://docs.stripe.com/refunds).
CARD_REFUND_BUSINESS_DAYS: Final = 10
_BUSINESS_DAYS: Final = 5
_FRIDAY: Final = 4
_DAY_S: Final = 86_400

# An expired authorization, in the versions before basil. Nothing was captured, so nothing is refunded.
_RELEASE: Final = "expired_uncaptured_charge"


class MalformedRefund(ValueError):
    """The object is not a valid refund or charge."""


def refund_form(intent_id: str, refund_id: UUID, payment_id: UUID, amount: int, reason: str) -> str:
    """Build the form of a refund. `amount`: in Stripe's unit. `charge.refunded` does not identify refunds, so set our
    id.
    """
    form = [("payment_intent", intent_id), ("amount", str(amount))]
    if reason in _REASONS:
        form.append(("reason", reason))
    form += [("metadata[payment_id]", str(payment_id)), ("metadata[refund_id]", str(refund_id))]
    return urlencode(form)


def list_refunds(intent_id: str) -> Request:
    """Build the list of an intent's refunds (https://docs.stripe.com/api/refunds/list)."""
    query = urlencode({"payment_intent": intent_id, "limit": _PAGE_SIZE})
    return Request(method="GET", path=f"{REFUNDS}?{query}", body="", api_version=API_VERSION)


def intent_of_refund(request: Request) -> str:
    """Return the intent of a stored request that creates or lists refunds."""
    query = request.body if request.method == "POST" else urlsplit(request.path).query
    return parse_qs(query)["payment_intent"][0]


def next_page(request: Request, page: Any) -> Request | None:
    """Build the request for the next page of a list. Return None if there is none or the page is invalid."""
    try:
        after = object_id(page["data"][-1]["id"]) if page["has_more"] is True else None
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
    """Return whether a refund says that it is a released authorization."""
    return isinstance(refund, dict) and refund.get("reason") == _RELEASE


def may_be_release(refund: Any, major: Major) -> bool:
    """Return whether a refund may stand for the released part of an authorization, which nobody requested."""
    return major.releases_are_refunds and not names_refund(refund)


def names_refund(refund: Any) -> bool:
    """Return whether a refund's metadata names a refund of ours."""
    return _named_in(refund.get("metadata"), "refund_id") is not None


def refund_fact(refund: Any, *, at: int, source: str, from_read: bool = False) -> RefundFact:
    """Translate a refund. Raise MalformedRefund. Stripe reports when it was created, not when its status changed."""
    try:
        if refund["object"] != "refund":
            raise TypeError
        return RefundFact(
            intent_id=object_id(refund["payment_intent"]),
            provider_refund_id=object_id(refund["id"]),
            refund_id=_named_in(refund.get("metadata"), "refund_id"),
            payment_id=_named_in(refund.get("metadata"), "payment_id"),
            amount=from_stripe(refund["amount"], currency(refund["currency"])),
            status=_status(refund["status"]),
            failure=_text(refund.get("failure_reason") or "unknown")[:100] if refund["status"] == "failed" else "",
            at=at,
            source=source,
            created_at=seconds(refund.get("created")),
            from_read=from_read,
            bank_reference=_bank_reference(refund),
            expected_at=_expected_at(refund),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _malformed("refund", error) from None


def _bank_reference(refund: dict[str, Any]) -> str | None:
    """Return the reference by which the customer's bank finds a refund, once it has one (of cards: the ARN).

    https://docs.stripe.com/refunds#tracing-refunds
    """
    reference = _destination(refund).get("reference")
    return reference if isinstance(reference, str) and _REFERENCE.fullmatch(reference) else None


def _expected_at(refund: dict[str, Any]) -> int | None:
    """Return when a customer has the money of a card refund at the latest: after ten business days.

    https://docs.stripe.com/refunds. Holidays differ by bank and are not counted.
    """
    created = seconds(refund.get("created"))
    if created is None or _destination(refund).get("type") != "refund":
        return None
    weekday = datetime.fromtimestamp(created, UTC).weekday()
    weeks, rest = divmod(min(weekday, _FRIDAY) + CARD_REFUND_BUSINESS_DAYS, _BUSINESS_DAYS)
    return created + (7 * weeks + rest - weekday) * _DAY_S


def _destination(refund: dict[str, Any]) -> dict[str, Any]:
    """Return the details of the method that a refund goes to (`destination_details`, by its type)."""
    details = refund.get("destination_details")
    found = details.get(details.get("type")) if isinstance(details, dict) else None
    return found if isinstance(found, dict) else {}


def _status(word: Any) -> RefundStatus:
    """Translate a status, which may be null. An unknown one reserves the money until a known one follows."""
    try:
        return RefundStatus(word)
    except ValueError:
        report_unknown("refund.status", str(word))
        return RefundStatus.PENDING


def refund_list_fact(page: Any, *, intent_id: str, at: int, source: str, major: Major = OWN) -> RefundListFact:
    """Translate a list of refunds that was rendered in a version of `major`, in Stripe's order of creation. Raise
    MalformedRefund.

    A list has the newest first (https://docs.stripe.com/api/refunds/list).
    """
    try:
        oldest_first = [one for one in reversed(page["data"]) if not is_release(one)]
        refunds = tuple(refund_fact(one, at=at, source=source, from_read=True) for one in oldest_first)
        whole = page["has_more"] is False
    except (KeyError, TypeError) as error:
        raise _malformed("list of refunds", error) from None
    return RefundListFact(
        intent_id=intent_id,
        refunds=refunds,
        whole=whole,
        at=at,
        source=source,
        with_release=major.releases_are_refunds,
    )


def refund_total_fact(charge: Any, *, at: int, source: str, major: Major = OWN) -> RefundTotalFact:
    """Translate the sum of the refunds of a charge that was rendered in a version of `major`. Raise MalformedRefund."""
    try:
        # Before basil, Stripe adds the released part of an authorization; `amount_captured` is null after a cancellation.
        released = charge["amount"] - (charge["amount_captured"] or 0) if major.releases_are_refunds else 0
        total = from_stripe(charge["amount_refunded"] - released, currency(charge["currency"]))
        return RefundTotalFact(intent_id=object_id(charge["payment_intent"]), total=total, at=at, source=source)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("charge", error) from None


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
