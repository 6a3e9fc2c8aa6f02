"""Routes that change something: who asks, under which Idempotency-Key, and how a refusal is answered."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from payment_service.db.audit import Actor
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

# As long as Stripe's own (https://docs.stripe.com/api/idempotent_requests), of characters that every log can hold.
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_CREATED: Final = 201  # every change makes something: a refund, a payment, a call to the provider
_KINDS: Final = {
    RefusalReason.NOT_FOUND: problems.NOT_FOUND,
    RefusalReason.NOT_ALLOWED: problems.NOT_ALLOWED,
    RefusalReason.NOT_YET: problems.NOT_YET,
    RefusalReason.BUSY: problems.UNAVAILABLE,
    RefusalReason.INVALID: problems.INVALID,
    RefusalReason.IN_PROGRESS: problems.IN_PROGRESS,
    RefusalReason.KEY_MISMATCH: problems.KEY_MISMATCH,
}

KEY_PARAMETER: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A name for this change, of your choice: the same key asks for the same change, and has the same answer. It "
    "belongs to the client of the API key. What is refused is not kept: the same key may be sent again.",
    "example": "refund-order-1001-1",
}


def describe(body: type[Body]) -> dict[str, Any]:
    """Describe in OpenAPI what a change needs."""
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"parameters": [KEY_PARAMETER], "requestBody": {"required": True, "content": content}}


def change_request(request: Request, client: Client, action: str, payment_id: UUID | None, body: Body) -> ChangeRequest:
    """Say who asks for what under which key. Raises Problem (400) where the key is missing or can't be one."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        detail = "Send one header Idempotency-Key of 1 to 255 printable ASCII characters."
        raise Problem(problems.BAD_REQUEST, detail)
    address = request.client.host if request.client else ""
    return ChangeRequest(
        actor=Actor(client=client.name, key_id=client.key_id, address=address),
        key=keys[0],
        action=action,
        payment_id=payment_id,
        parameters=body.model_dump(mode="json", exclude_none=True),
    )


async def answer(change: Awaitable[ChangeResult], *, found_under: str = "") -> Response:
    """Answer with what a change came to, and where the thing that it made is found. Raises Problem for a refusal."""
    try:
        done = await change
    except Refusal as refusal:
        raise refused(refusal) from None
    replayed = {"Idempotent-Replayed": "true"} if done.replayed else {}
    place = {"Location": f"{found_under}/{done.result['id']}"} if found_under else {}
    body = json.dumps(done.result, ensure_ascii=False, separators=(",", ":"))
    return Response(body, _CREATED, {**place, **replayed}, "application/json")


def refused(refusal: Refusal, *, headers: Mapping[str, str] | None = None) -> Problem:
    """Make the answer of a refusal."""
    wait = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    return Problem(_KINDS[refusal.reason], str(refusal), headers={**(headers or {}), **wait})
