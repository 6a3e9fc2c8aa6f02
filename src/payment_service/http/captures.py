"""Routes of `/v1` that capture authorized payments and cancel unpaid ones."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from payment_service.contracts.api import Payment
from payment_service.db.api_keys import Client, Scope
from payment_service.flows.requests.cancel import Cancellations
from payment_service.flows.requests.capture import Captures
from payment_service.http.auth import Authenticator, require
from payment_service.http.bodies import Body, Line, Metadata, read_body
from payment_service.http.changes import change_request, describe_change, respond
from payment_service.http.parameters import PaymentId, only_parameters
from payment_service.http.responses import COMMON_RESPONSES, NO_PAYMENT, change_responses


class CaptureRequest(Body):
    """The body of a capture."""

    amount: str | None = Field(
        default=None,
        description="Decimal text with at most the currency's number of decimals. Absent: the whole authorized amount. The rest is released.",
        examples=["15.00"],
    )
    metadata: Metadata = Field(default_factory=dict, description="Stored with the audit row of this change.")


class CancelRequest(Body):
    """The body of a cancellation."""

    reason: Line = Field(
        default="",
        description="Free text. Stripe also receives abandoned, duplicate, fraudulent and requested_by_customer.",
        examples=["requested_by_customer"],
    )


_CAPTURE_RESPONSES: Final = change_responses(
    not_allowed="The payment is not authorized yet: the customer has to pay first.",
    invalid="amount: at most 19.90 eur can be captured.",
    not_yet="A capture of this payment is in progress: wait for its outcome.",
)
_CANCEL_RESPONSES: Final = change_responses(
    not_allowed="The payment is already paid: refund it instead.",
    invalid="reason: must have at most 200 characters.",
    not_yet="A capture of this payment is in progress: wait for its outcome.",
)


def captures_router(authenticator: Authenticator, captures: Captures, cancellations: Cancellations) -> APIRouter:
    """Return the routes of captures and cancellations."""
    # A client that may refund may also capture less, or cancel.
    changer = Depends(require(authenticator, Scope.REFUND))
    router = APIRouter(prefix="/v1", tags=["payments"], responses=COMMON_RESPONSES | NO_PAYMENT)

    @router.post(
        "/payments/{payment_id}/capture",
        status_code=201,
        response_model=Payment,
        responses=_CAPTURE_RESPONSES,
        dependencies=[Depends(only_parameters())],
        summary="Capture an authorized payment, fully or partly",
        description="The service calls the provider after this response. The response shows the payment as it was before the call.",
        openapi_extra=describe_change(CaptureRequest),
    )
    async def capture_payment(payment_id: PaymentId, request: Request, client: Client = changer) -> Response:
        body = await read_body(request, CaptureRequest)
        requested = change_request(request, client, "capture", payment_id, body)
        return await respond(captures.request(payment_id, body.amount, requested))

    @router.post(
        "/payments/{payment_id}/cancel",
        status_code=201,
        response_model=Payment,
        responses=_CANCEL_RESPONSES,
        dependencies=[Depends(only_parameters())],
        summary="Cancel an unpaid payment, or release an authorization",
        description="The service calls the provider after this response. The response shows the payment as it was before the call. "
        "If the customer pays at the same time, the payment may still end as paid.",
        openapi_extra=describe_change(CancelRequest),
    )
    async def cancel_payment(payment_id: PaymentId, request: Request, client: Client = changer) -> Response:
        body = await read_body(request, CancelRequest)
        requested = change_request(request, client, "cancel", payment_id, body)
        return await respond(cancellations.request(payment_id, body.reason, requested))

    return router
