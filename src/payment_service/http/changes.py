"""Requests that change something: caller, Idempotency-Key and the response to a refusal."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from payment_service.db.audit import Actor
from payment_service.domain.guard import clean
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http import problems
from payment_service.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from uuid import UUID

    from starlette.requests import Request

    from payment_service.db.api_keys import Client
    from payment_service.flows.requests.idempotency import ChangeResult
    from payment_service.http.bodies import Body

# The length is Stripe's own limit (https://docs.stripe.com/api/idempotent_requests). Every log can hold these
# characters.
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_CREATED: Final = 201  # every change creates something: a refund, a payment or a call to the provider
_PROBLEM_TYPES: Final = {
    RefusalReason.NOT_FOUND: problems.NOT_FOUND,
    RefusalReason.NOT_ALLOWED: problems.NOT_ALLOWED,
    RefusalReason.NEEDS_APPROVAL: problems.NEEDS_APPROVAL,
    RefusalReason.NOT_YET: problems.NOT_YET,
    RefusalReason.BUSY: problems.UNAVAILABLE,
    RefusalReason.FORBIDDEN: problems.FORBIDDEN,
    RefusalReason.TOO_MANY: problems.TOO_MANY,
    RefusalReason.INVALID: problems.INVALID,
    RefusalReason.IN_PROGRESS: problems.IN_PROGRESS,
    RefusalReason.KEY_MISMATCH: problems.KEY_MISMATCH,
}

KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A name of your choice for this change. The same key repeats the same change and gets the same response. It "
    "belongs to the client of the API key. Refusals are not stored: you may send the same key again.",
    "example": "refund-order-1001-1",
}


def describe_change(body: type[Body]) -> dict[str, Any]:
    """Describe the header and the body of a change in OpenAPI."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"parameters": [KEY_PARAMETER], "requestBody": {"required": True, "content": content}}


def change_request(request: Request, client: Client, action: str, payment_id: UUID | None, body: Body) -> ChangeRequest:
    """Build the request for a change from the caller, the key and the body. Raises Problem (400) for a missing or
    malformed key.
    """
    keys = request.headers.getlist("idempotency-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        detail = "Send one header Idempotency-Key of 1 to 255 printable ASCII characters."
        raise Problem(problems.BAD_REQUEST, detail)
    if clean(keys[0]) != keys[0]:
        detail = (
            "The Idempotency-Key contains a card number or a secret, which the service never stores: use another key."
        )
        raise Problem(problems.BAD_REQUEST, detail)
    address = request.client.host if request.client else ""
    return ChangeRequest(
        actor=Actor(client=client.name, key_id=client.key_id, address=address),
        key=keys[0],
        action=action,
        payment_id=payment_id,
        parameters=body.model_dump(mode="json", exclude_none=True),
    )


async def respond(change: Awaitable[ChangeResult], *, location: str = "") -> Response:
    """Return the result of a change, with the URL of the new object if `location` is set. Raises Problem for a
    refusal.
    """
    try:
        done = await change
    except Refusal as refusal:
        raise refusal_problem(refusal) from None
    replayed = {"Idempotent-Replayed": "true"} if done.replayed else {}
    place = {"Location": f"{location}/{done.result['id']}"} if location else {}
    body = json.dumps(done.result, ensure_ascii=False, separators=(",", ":"))
    return Response(body, _CREATED, {**place, **replayed}, "application/json")


def refusal_problem(refusal: Refusal, *, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem that a refusal is answered with."""
    wait = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    return Problem(_PROBLEM_TYPES[refusal.reason], str(refusal), headers={**(headers or {}), **wait})
