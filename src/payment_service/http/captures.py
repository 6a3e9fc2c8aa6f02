"""`/v1`: what is held is captured, and what is unpaid is canceled."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from payment_service.contracts.api import Payment
from payment_service.db.api_keys import Client, Scope
from payment_service.flows import request_cancel, request_capture
from payment_service.flows.request_cancel import Cancellations
from payment_service.flows.request_capture import Captures
from payment_service.http.auth import Keys, require
from payment_service.http.bodies import Body, Line, Metadata, read_body
from payment_service.http.changes import REFUSED, answer, asking, describe
from payment_service.http.payments import ANSWERS, only_parameters


class CaptureRequest(Body):
    """What is to be captured."""

    amount: str | None = Field(
        default=None,
        description="Decimal text with at most the currency's decimals; left out: all that is held. The rest is released.",
        examples=["15.00"],
    )
    metadata: Metadata = Field(default_factory=dict, description="Kept with the audit row of this change.")


class CancelRequest(Body):
    """Why a payment is to be canceled."""

    reason: Line = Field(
        default="",
        description="For people. abandoned, duplicate, fraudulent and requested_by_customer are told to Stripe too.",
        examples=["requested_by_customer"],
    )


def captures_router(keys: Keys, captures: Captures, cancellations: Cancellations) -> APIRouter:
    """Give the routes of captures and cancellations."""
    # Those who may give money back may also decide that less of it is taken, or none.
    changer = Depends(require(keys, Scope.REFUND))
    router = APIRouter(prefix="/v1", tags=["payments"], responses=ANSWERS)

    @router.post(
        "/payments/{payment_id}/capture",
        status_code=201,
        response_model=Payment,
        responses=REFUSED,
        dependencies=[Depends(only_parameters())],
        summary="Capture what is held, all or a part",
        openapi_extra=describe(CaptureRequest),
    )
    async def request_capture_of(payment_id: UUID, request: Request, client: Client = changer) -> Response:
        body = await read_body(request, CaptureRequest)
        asked = asking(request, client, "capture", payment_id, body)
        wanted = request_capture.Wanted(amount=body.amount, metadata=body.metadata)
        return await answer(captures.request(payment_id, wanted, asked))

    @router.post(
        "/payments/{payment_id}/cancel",
        status_code=201,
        response_model=Payment,
        responses=REFUSED,
        dependencies=[Depends(only_parameters())],
        summary="Cancel an unpaid payment, or release what is held",
        openapi_extra=describe(CancelRequest),
    )
    async def request_cancel_of(payment_id: UUID, request: Request, client: Client = changer) -> Response:
        body = await read_body(request, CancelRequest)
        asked = asking(request, client, "cancel", payment_id, body)
        return await answer(cancellations.request(payment_id, request_cancel.Wanted(reason=body.reason), asked))

    return router
