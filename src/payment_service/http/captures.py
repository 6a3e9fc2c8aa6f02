"""`/v1`: what is held is captured, and what is unpaid is canceled."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from payment_service.contracts.api import Payment
from payment_service.db.api_keys import Client, Scope
from payment_service.flows.requests.cancel import Cancellations
from payment_service.flows.requests.capture import Captures
from payment_service.http.answers import ANSWERS, NO_PAYMENT, change_answers
from payment_service.http.auth import Keys, require
from payment_service.http.bodies import Body, Line, Metadata, read_body
from payment_service.http.changes import answer, change_request, describe
from payment_service.http.lists import PaymentId
from payment_service.http.payments import only_parameters


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


_CAPTURE_REFUSED: Final = change_answers(
    not_allowed="Nothing is held yet: the customer has to pay first.",
    invalid="amount: at most 19.90 eur can be captured.",
    not_yet="A capture of this payment is under way: see what comes of it first.",
)
_CANCEL_REFUSED: Final = change_answers(
    not_allowed="The payment was paid: refund it instead.",
    invalid="reason: must have at most 200 characters.",
    not_yet="A capture of this payment is under way: see what comes of it first.",
)


def captures_router(keys: Keys, captures: Captures, cancellations: Cancellations) -> APIRouter:
    """Give the routes of captures and cancellations."""
    # Those who may give money back may also decide that less of it is taken, or none.
    changer = Depends(require(keys, Scope.REFUND))
    router = APIRouter(prefix="/v1", tags=["payments"], responses=ANSWERS | NO_PAYMENT)

    @router.post(
        "/payments/{payment_id}/capture",
        status_code=201,
        response_model=Payment,
        responses=_CAPTURE_REFUSED,
        dependencies=[Depends(only_parameters())],
        summary="Capture what is held, all or a part",
        description="Asked of the provider after this answer, which shows the payment as it was then.",
        openapi_extra=describe(CaptureRequest),
    )
    async def capture_payment(payment_id: PaymentId, request: Request, client: Client = changer) -> Response:
        body = await read_body(request, CaptureRequest)
        asked = change_request(request, client, "capture", payment_id, body)
        return await answer(captures.request(payment_id, body.amount, asked))

    @router.post(
        "/payments/{payment_id}/cancel",
        status_code=201,
        response_model=Payment,
        responses=_CANCEL_REFUSED,
        dependencies=[Depends(only_parameters())],
        summary="Cancel an unpaid payment, or release what is held",
        description="Asked of the provider after this answer, which shows the payment as it was then. A customer who pays in "
        "the same second may be first: then it ends paid.",
        openapi_extra=describe(CancelRequest),
    )
    async def cancel_payment(payment_id: PaymentId, request: Request, client: Client = changer) -> Response:
        body = await read_body(request, CancelRequest)
        asked = change_request(request, client, "cancel", payment_id, body)
        return await answer(cancellations.request(payment_id, body.reason, asked))

    return router
