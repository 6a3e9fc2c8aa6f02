"""`/v1`: refunds, asked for and read."""

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
from payment_service.flows.requests.refund import Refunds, RefundTerms
from payment_service.http.answers import ANSWERS, NO_PAYMENT, NO_REFUND, change_answers
from payment_service.http.auth import Keys, require
from payment_service.http.bodies import Body, Line, Metadata, read_body
from payment_service.http.changes import answer, change_request, describe
from payment_service.http.lists import PaymentId
from payment_service.http.payments import only_parameters
from payment_service.http.problems import NOT_FOUND, Problem


class RefundRequest(Body):
    """What is to be refunded."""

    amount: str | None = Field(
        default=None,
        description="Decimal text with at most the currency's decimals; left out: all that is left.",
        examples=["5.00"],
    )
    reason: Line = Field(
        default="",
        description="For people. duplicate, fraudulent and requested_by_customer are told to Stripe too.",
        examples=["requested_by_customer"],
    )
    metadata: Metadata = Field(default_factory=dict, description="Kept with the refund.")


_REFUSED: Final = change_answers(
    not_allowed="Nothing is left to refund: all is refunded, or asked to be.",
    invalid="amount: at most 14.90 eur can still be refunded.",
    location=True,
)
RefundId = Annotated[
    UUID, Path(description="`refund_id` of a record.", examples=["40fbfd7e-41ae-530b-a850-b19351170173"])
]


def refunds_router(pool: Pool, keys: Keys, refunds: Refunds) -> APIRouter:
    """Give the routes of refunds."""
    reader = Depends(require(keys, Scope.READ))
    refunder = Depends(require(keys, Scope.REFUND))
    router = APIRouter(prefix="/v1", tags=["refunds"], responses=ANSWERS)

    @router.post(
        "/payments/{payment_id}/refunds",
        status_code=201,
        response_model=Refund,
        responses=NO_PAYMENT | _REFUSED,
        dependencies=[Depends(only_parameters())],
        summary="Refund a payment, fully or partly",
        description="The amount is reserved at once and asked of the provider after this answer: the refund is `pending` until "
        "the provider has said more, which a read and the records tell.",
        openapi_extra=describe(RefundRequest),
    )
    async def refund_payment(payment_id: PaymentId, request: Request, client: Client = refunder) -> Response:
        body = await read_body(request, RefundRequest)
        asked = change_request(request, client, "refund", payment_id, body)
        terms = RefundTerms(amount=body.amount, reason=body.reason, metadata=body.metadata)
        return await answer(refunds.request(payment_id, terms, asked), found_under="/v1/refunds")

    @router.get(
        "/refunds/{refund_id}",
        responses=NO_REFUND,
        response_description="The refund.",
        dependencies=[reader, Depends(only_parameters())],
        summary="Read a refund",
    )
    async def read_refund(refund_id: RefundId) -> Refund:
        row = await refund_reads.refund(pool, refund_id)
        if row is None:
            raise Problem(NOT_FOUND, "There is no refund with this id.")
        return Refund(**row)

    return router
