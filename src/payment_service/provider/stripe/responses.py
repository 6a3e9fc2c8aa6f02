"""Classify Stripe's responses as outcomes. Pure. Lists: https://docs.stripe.com/error-codes,
https://docs.stripe.com/error-low-level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from payment_service.domain.facts_without_intent import RefusedFact
from payment_service.domain.payment import IntentFact, Status
from payment_service.domain.refund import RefundRefused
from payment_service.provider.port import (
    BalanceTooLow,
    Blocked,
    Done,
    Kind,
    Misused,
    Outcome,
    Refused,
    Transient,
    Unexpected,
    Unknown,
    WrongState,
)
from payment_service.provider.stripe.api_versions import OWN, major_of
from payment_service.provider.stripe.disputes import DISPUTES, MalformedDispute, dispute_fact, dispute_list_fact
from payment_service.provider.stripe.intents import UNKNOWN_STATUS, MalformedIntent, intent_fact, is_foreign
from payment_service.provider.stripe.refunds import (
    REFUNDS,
    MalformedRefund,
    intent_of_refund,
    refund_fact,
    refund_list_fact,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.domain.dispute import DisputeFact, DisputeListFact
    from payment_service.domain.facts import AnyFact
    from payment_service.domain.refund import RefundFact, RefundListFact
    from payment_service.provider.port import Call
    from payment_service.provider.stripe.api_versions import Major

# Codes of a create that no retry can change: the payment has failed.
CREATE_REFUSALS: Final = frozenset({"amount_too_small", "amount_too_large", "invalid_charge_amount"})
# Codes that refuse a refund finally, with their reason (https://docs.stripe.com/error-codes).
REFUND_REFUSALS: Final = {
    "charge_already_refunded": "The whole amount is refunded already.",
    "charge_disputed": "The customer's bank has withdrawn the money.",
    "refund_disputed_payment": "The customer's bank has withdrawn the money.",
    "charge_not_refundable": "The payment cannot be refunded any more.",
}
# Our own Stripe balance does not cover the refund (https://docs.stripe.com/refunds#insufficient-balance).
BALANCE_TOO_LOW: Final = frozenset({"insufficient_funds", "balance_insufficient"})
# Codes of a late capture. A read shows the intent's current status.
CAPTURE_TOO_LATE: Final = frozenset(
    {
        "charge_already_captured",
        "charge_expired_for_capture",
        "capture_charge_authorization_expired",
        "capture_unauthorized_payment",
    }
)
WRONG_STATE: Final = "payment_intent_unexpected_state"
# The largest Retry-After obeyed: an hour, so that a misconfigured proxy cannot stop an order forever.
RETRY_AFTER_MAX_S: Final = 3_600.0
_WORD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")
_REASONS: Final = {
    "amount_too_small": "The amount is below the provider's minimum.",
    "amount_too_large": "The amount is above the provider's maximum.",
    "invalid_charge_amount": "The amount cannot be charged.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response. `body` is the parsed JSON, or None."""

    status: int
    headers: Mapping[str, str]
    body: object


def classify(call: Call, response: Response, *, deployment: str, now_s: float, installation: str = "") -> Outcome:
    """Classify a response to `call`. `now_s`: our clock, used only if the response has no Date."""
    request_id = read_token(response.headers.get("Request-Id"))
    if 200 <= response.status < 300:
        if call.kind is Kind.CREATE and _is_of_another_installation(response, installation):
            return Unexpected(
                code="another_installation",
                detail="another installation uses this deployment name",
                request_id=request_id,
            )
        return _done(call, response, deployment, now_s, request_id)
    if response.status >= 500 and _replayed(response):
        # Ignore any retry hint: this key will never return another response.
        return Unknown(code=f"http_{response.status}", replayed=True, request_id=request_id)
    code = read_token(_error(response).get("code")) or f"http_{response.status}"
    if response.headers.get("Stripe-Should-Retry") == "true" or response.status in {409, 424, 429}:
        return Transient(code=code, retry_after_s=read_retry_after(response.headers), request_id=request_id)
    if response.status >= 500 or response.status < 400:
        return Unknown(code=f"http_{response.status}", request_id=request_id)
    if response.status == 401:
        return Blocked(code="http_401", kind=None, request_id=request_id)
    if response.status == 403:
        return Blocked(code="http_403", kind=call.kind, request_id=request_id)
    if not _error(response):
        # Something in between answered, perhaps after Stripe did the work: a proxy's 408, for example.
        return Unknown(code=code, replayed=_replayed(response), request_id=request_id)
    return _sort_refusal(call, response, code, now_s, request_id)


def _sort_refusal(call: Call, response: Response, code: str, now_s: float, request_id: str) -> Outcome:
    error = _error(response)
    if error.get("type") == "idempotency_error":
        return Misused(code="idempotency_error", request_id=request_id)
    if call.kind is Kind.CREATE and code in CREATE_REFUSALS:
        reason = _REASONS[code]
        fact = RefusedFact(code=code, reason=reason, at=read_date(response, now_s), source=call.source)
        return Refused(code=code, reason=reason, fact=fact, request_id=request_id)
    if call.kind is Kind.REFUND and code in BALANCE_TOO_LOW:
        return BalanceTooLow(code=code, request_id=request_id)
    if call.kind is Kind.REFUND and (
        code in REFUND_REFUSALS or (response.status == 400 and error.get("param") == "amount")
    ):
        reason = REFUND_REFUSALS.get(code, "The provider refused the amount.")
        at = read_date(response, now_s)
        refused = RefundRefused(refund_id=call.operation_id, code=code, reason=reason, at=at, source=call.source)
        return Refused(code=code, reason=reason, fact=refused, request_id=request_id)
    too_late = call.kind is Kind.CAPTURE and code in CAPTURE_TOO_LATE
    if too_late or (code == WRONG_STATE and call.kind is not Kind.CREATE):
        at = read_date(response, now_s)
        intent = error.get("payment_intent")
        fresh = None if _replayed(response) else _fact(call, intent, at, OWN, from_read=True)
        return WrongState(code=code, fact=_with_known_time(fresh), request_id=request_id)
    return Unexpected(
        code=code,
        detail=f"HTTP {response.status} {read_token(error.get('type'))} {read_token(error.get('param'))}".strip(),
        request_id=request_id,
    )


def _is_of_another_installation(response: Response, installation: str) -> bool:
    metadata = response.body.get("metadata") if isinstance(response.body, dict) else None
    return isinstance(metadata, dict) and is_foreign(metadata, installation)


def _done(call: Call, response: Response, deployment: str, now_s: float, request_id: str) -> Outcome:
    body = response.body if isinstance(response.body, dict) else {}
    expected = _expected_object(call)
    if body.get("object") != expected:
        return Unknown(code="unreadable_answer", replayed=_replayed(response), request_id=request_id)
    if not _matches_call(call, body, deployment):
        return Unexpected(
            code="another_object", detail=f"answered with {read_token(body.get('id'))}", request_id=request_id
        )
    if _replayed(response) and call.kind is not Kind.CREATE:
        return Done(fact=None, request_id=request_id)
    if call.kind is Kind.CREATE:
        # Even a replayed create shows how the intent began.
        created = body.get("created")
        at = created if isinstance(created, int) else int(now_s)
    else:
        at = read_date(response, now_s)
    from_read = call.request.method == "GET"
    if (fact := _fact(call, body, at, _major_of(call, response), from_read=from_read)) is None:
        detail = f"the response is not a valid {expected}"
        return Unexpected(code=f"malformed_{expected.removeprefix('payment_')}", detail=detail, request_id=request_id)
    return Done(fact=fact, request_id=request_id, outdated=_replayed(response))


def _expected_object(call: Call) -> str:
    if call.request.path.startswith(REFUNDS):
        return "refund" if call.request.method == "POST" else "list"
    if call.request.path.startswith(DISPUTES):
        return "list" if _lists_disputes(call) else "dispute"
    return "payment_intent"


def _lists_disputes(call: Call) -> bool:
    return call.request.path.startswith(f"{DISPUTES}?")


def _matches_call(call: Call, body: dict[str, Any], deployment: str) -> bool:
    if body["object"] == "list":
        return True  # the query limits it to one intent
    if call.kind is Kind.CREATE or body["object"] == "refund":
        metadata = body.get("metadata")
        ours = {"payment_id": str(call.payment_id)}
        ours |= {"deployment": deployment} if call.kind is Kind.CREATE else {"refund_id": str(call.operation_id)}
        return isinstance(metadata, dict) and ours.items() <= metadata.items()
    return str(body.get("id")) in urlsplit(call.request.path).path.split("/")


def _major_of(call: Call, response: Response) -> Major:
    """Return the rules of the version that rendered the response: it names it, or the request did."""
    return major_of(response.headers.get("Stripe-Version") or call.request.api_version) or OWN


def _fact(
    call: Call, body: object, at: int, major: Major, *, from_read: bool
) -> IntentFact | RefundFact | RefundListFact | DisputeFact | DisputeListFact | None:
    """Translate a body. `from_read`: the call did not cause its status, so `at` is not the time of that."""
    if not isinstance(body, dict):
        return None
    try:
        match body.get("object"):
            case "refund":
                return refund_fact(body, at=at, source=call.source, from_read=from_read)
            case "list" if _lists_disputes(call):
                return dispute_list_fact(body, at=at, source=call.source)
            case "list":
                intent_id = intent_of_refund(call.request)
                return refund_list_fact(body, intent_id=intent_id, at=at, source=call.source, major=major)
            case "dispute":
                return dispute_fact(body, at=at, source=call.source, from_read=from_read)
            case _:
                return intent_fact(
                    body,
                    at=at,
                    source=call.source,
                    from_event=False,
                    from_read=from_read,
                    unknown_status=UNKNOWN_STATUS,
                )
    except (MalformedIntent, MalformedRefund, MalformedDispute):
        return None


def _with_known_time(fact: AnyFact | None) -> AnyFact | None:
    """Return the fact, or None for a paid intent without its charge: the read that follows has the time of the payment."""
    if isinstance(fact, IntentFact) and fact.status is Status.SUCCEEDED and fact.occurred_at is None:
        return None
    return fact


def _error(response: Response) -> dict[str, Any]:
    error = response.body.get("error") if isinstance(response.body, dict) else None
    return error if isinstance(error, dict) else {}


def read_token(value: object) -> str:
    """Return a code, name or id in Stripe's format. Return an empty string for anything else, which must not be stored."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _replayed(response: Response) -> bool:
    return response.headers.get("Idempotent-Replayed") == "true"


def read_date(response: Response, now_s: float) -> int:
    """Return the provider's clock in whole seconds from the Date header, or ours without one."""
    try:
        return int(parsedate_to_datetime(response.headers["Date"]).timestamp())
    except (KeyError, ValueError, TypeError):
        return int(now_s)


def read_retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to wait, or 0 without a valid Retry-After."""
    text = headers.get("Retry-After", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else 0.0
