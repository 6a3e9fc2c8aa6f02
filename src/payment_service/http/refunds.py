"""Routes of `/v1` that make and read refunds."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field
from starlette.responses import Response

from payment_service.contracts.api import Refund
from payment_service.db import refund_reads
from payment_service.db.api_keys import Client, Scope
from payment_service.db.pool import Pool
from payment_service.flows.requests.approvals import Approvals
from payment_service.flows.requests.refund import RefundTerms
from payment_service.http.auth import Authenticator, require
from payment_service.http.bodies import Body, Line, Metadata, read_body
from payment_service.http.changes import change_request, describe_change, respond
from payment_service.http.parameters import PaymentId, only_parameters
from payment_service.http.problems import NOT_FOUND, Problem
from payment_service.http.responses import COMMON_RESPONSES, NO_PAYMENT, NO_REFUND, change_responses


class RefundRequest(Body):
    """The body of a refund."""

    amount: str | None = Field(
        default=None,
        description="Decimal text with at most the currency's number of decimals. Absent: the whole remaining amount.",
        examples=["5.00"],
    )
    reason: Line = Field(
        default="",
        description="Free text. Stripe also receives duplicate, fraudulent and requested_by_customer.",
        examples=["requested_by_customer"],
    )
    metadata: Metadata = Field(default_factory=dict, description="Stored with the refund.")


_REFUND_RESPONSES: Final = change_responses(
    not_allowed="Nothing is left to refund: the whole amount is refunded or has refunds in progress.",
    invalid="amount: at most 14.90 eur can still be refunded.",
    location=True,
    needs_approval="This API key refunds at most 50.00 eur at a time: a second person must approve. "
    "Send the same request with the same key to learn the decision, until 2026-12-26T14:01Z.",
)
RefundId = Annotated[
    UUID, Path(description="`refund_id` of a record.", examples=["40fbfd7e-41ae-530b-a850-b19351170173"])
]


def refunds_router(pool: Pool, authenticator: Authenticator, approvals: Approvals) -> APIRouter:
    """Return the routes of refunds."""
    reader = Depends(require(authenticator, Scope.READ))
    refunder = Depends(require(authenticator, Scope.REFUND))
    router = APIRouter(prefix="/v1", tags=["refunds"], responses=COMMON_RESPONSES)

    @router.post(
        "/payments/{payment_id}/refunds",
        status_code=201,
        response_model=Refund,
        responses=NO_PAYMENT | _REFUND_RESPONSES,
        dependencies=[Depends(only_parameters())],
        summary="Refund a payment, fully or partly",
        description="The service reserves the amount at once and calls the provider after this response. The refund stays `pending` until "
        "the provider reports its outcome, which reads and published records show. Above the largest refund of the API key, a second "
        "person decides within 24 hours. Until then the answer is the problem `needs_approval`. The same request with the same key "
        "then gets the refund, or `not_allowed` with the reason.",
        openapi_extra=describe_change(RefundRequest),
    )
    async def refund_payment(payment_id: PaymentId, request: Request, client: Client = refunder) -> Response:
        body = await read_body(request, RefundRequest)
        requested = change_request(request, client, "refund", payment_id, body)
        terms = RefundTerms(amount=body.amount, reason=body.reason, metadata=body.metadata)
        return await respond(approvals.refund(payment_id, terms, requested), location="/v1/refunds")

    @router.get(
        "/refunds/{refund_id}",
        responses=NO_REFUND,
        response_description="The refund.",
        dependencies=[reader, Depends(only_parameters())],
        summary="Read a refund",
    )
    async def read_refund(refund_id: RefundId) -> Refund:
        """Return the refund in its current state."""
        row = await refund_reads.refund(pool, refund_id)
        if row is None:
            raise Problem(NOT_FOUND, "There is no refund with this id.")
        return Refund(**row)

    return router
