"""List and read Stripe's intents, charges, refunds and disputes for reconciliation. Pure
(https://docs.stripe.com/api/pagination, https://docs.stripe.com/expand).

Intents are listed with their latest charge, which shows whether their money was refunded. Lists are immediately
consistent (https://docs.stripe.com/api-v2-overview); search is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

from payment_service.provider.listed_objects import PAGE_SIZE, ListedObject, ListedPage, NoObject, ObjectKind
from payment_service.provider.port import Transient
from payment_service.provider.stripe.disputes import dispute_fact
from payment_service.provider.stripe.intents import intent_fact, is_foreign
from payment_service.provider.stripe.list_pages import STUCK
from payment_service.provider.stripe.refunds import is_release, refund_fact
from payment_service.provider.stripe.responses import read_date, read_retry_after, read_token
from payment_service.provider.stripe.times import EXPANDED
from payment_service.provider.stripe.webhooks import charge_fact

if TYPE_CHECKING:
    from payment_service.domain.facts import AnyFact
    from payment_service.provider.stripe.responses import Response

_PATHS: Final = {
    ObjectKind.INTENT: "/v1/payment_intents",
    ObjectKind.CHARGE: "/v1/charges",
    ObjectKind.REFUND: "/v1/refunds",
    ObjectKind.DISPUTE: "/v1/disputes",
}


def list_path(kind: ObjectKind, *, created_from: int, created_to: int, after: str) -> str:
    """Build the path of a page."""
    query = {"created[gte]": str(created_from), "created[lte]": str(created_to), "limit": str(PAGE_SIZE)}
    if after:
        query["starting_after"] = after
    if kind is ObjectKind.INTENT:
        query["expand[]"] = f"data.{EXPANDED}"
    return f"{_PATHS[kind]}?{urlencode(query)}"


def read_path(kind: ObjectKind, object_id: str) -> str:
    """Build the path of one object."""
    expansion = "?" + urlencode({"expand[]": EXPANDED}) if kind is ObjectKind.INTENT else ""
    return f"{_PATHS[kind]}/{quote(object_id, safe='')}{expansion}"


def read_objects(
    kind: ObjectKind, response: Response, *, installation: str, now_s: float, after: str = ""
) -> ListedPage | Transient:
    """Translate the page after this id. An object that cannot be parsed has no fact. A page that leads nowhere is a failure."""
    body = response.body
    if response.status != 200 or not isinstance(body, dict) or not isinstance(body.get("data"), list):
        return _failure(response)
    at, data = read_date(response, now_s), body["data"]
    objects = tuple(_translate(kind, one, at, installation) for one in data)
    last = objects[-1].object_id if objects else ""
    if body.get("has_more") is False:
        return ListedPage(objects=objects, after=None)
    if last in {"", after}:
        return Transient(code=STUCK, retry_after_s=0)
    return ListedPage(objects=objects, after=last)


def read_one(
    kind: ObjectKind, object_id: str, response: Response, *, installation: str, now_s: float
) -> ListedObject | NoObject | Transient:
    """Translate one object. Only Stripe's own 404 says that there is none."""
    body = response.body if isinstance(response.body, dict) else {}
    error = body.get("error")
    if response.status == 404 and isinstance(error, dict) and error.get("code") == "resource_missing":
        return NoObject()
    if response.status != 200 or body.get("id") != object_id:
        return _failure(response)
    return _translate(kind, body, read_date(response, now_s), installation)


def _failure(response: Response) -> Transient:
    code = "unreadable_answer" if response.status == 200 else f"http_{response.status}"
    request_id = read_token(response.headers.get("Request-Id"))
    return Transient(code=code, retry_after_s=read_retry_after(response.headers), request_id=request_id)


def _translate(kind: ObjectKind, raw: Any, at: int, installation: str) -> ListedObject:
    """Translate an object. An object of another installation with our deployment name is not ours. Never raises."""
    subject: dict[str, Any] = raw if isinstance(raw, dict) else {}
    object_id, created = read_token(subject.get("id")), subject.get("created")
    metadata = subject.get("metadata")
    names: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    relevant = _is_relevant(kind, subject)
    return ListedObject(
        kind=kind,
        object_id=object_id,
        created=created if type(created) is int else 0,
        intent_id=(object_id if kind is ObjectKind.INTENT else read_token(subject.get("payment_intent"))) or None,
        deployment=None if is_foreign(names, installation) else _text_or_none(names.get("deployment")),
        order_id=_text_or_none(names.get("order_id")),
        payment_id=_uuid_or_none(names.get("payment_id")),
        fact=_fact(kind, subject, at) if relevant else None,
        relevant=relevant,
        returned=_is_returned(subject if kind is ObjectKind.CHARGE else subject.get("latest_charge")),
    )


def _fact(kind: ObjectKind, subject: dict[str, Any], at: int) -> AnyFact | None:
    source = f"list:{read_token(subject.get('id'))}"
    try:
        match kind:
            case ObjectKind.INTENT:
                return intent_fact(subject, at=at, source=source, from_event=False)
            case ObjectKind.CHARGE:
                # A charge does not show whether it was captured at once, and the list comes later.
                return replace(charge_fact(subject, at=at, source=source), captured_at=None)
            case ObjectKind.REFUND:
                return refund_fact(subject, at=at, source=source, from_read=True)
            case ObjectKind.DISPUTE:
                return dispute_fact(subject, at=at, source=source, from_read=True)
    except (ValueError, KeyError, TypeError):  # MalformedIntent and MalformedRefund are ValueErrors
        return None


def _is_relevant(kind: ObjectKind, subject: dict[str, Any]) -> bool:
    if kind is ObjectKind.CHARGE:
        return subject.get("status") not in {"failed", "pending"}
    return kind is not ObjectKind.REFUND or not is_release(subject)


def _is_returned(charge: Any) -> bool:
    """Return whether the customer has all money of a charge back."""
    if not isinstance(charge, dict) or type(charge.get("amount_captured")) is not int:
        return False
    return charge.get("captured") is True and charge.get("amount_refunded") == charge["amount_captured"]


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _uuid_or_none(value: Any) -> UUID | None:
    try:
        found = UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if str(found) == value else None
