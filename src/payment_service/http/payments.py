"""Routes of `/v1` that read payments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from payment_service.contracts.api import Dispute, Page, Payment, PaymentAttempt, PaymentDetail, Refund
from payment_service.db import payment_attempts, payment_reads, refund_reads
from payment_service.db.api_keys import Scope
from payment_service.db.pool import Pool
from payment_service.http.auth import Authenticator, require
from payment_service.http.csv_pages import page_or_csv, page_responses
from payment_service.http.list_queries import ListPages, PaymentsQuery
from payment_service.http.paging import PAGE_DEFAULT, Pages, payment_list_key
from payment_service.http.parameters import PaymentId, only_parameters
from payment_service.http.problems import payment_not_found
from payment_service.http.responses import COMMON_RESPONSES, NO_PAYMENT


def payments_router(pool: Pool, authenticator: Authenticator) -> APIRouter:
    """Return the routes that read payments."""
    reader = Depends(require(authenticator, Scope.READ))
    router = APIRouter(prefix="/v1", tags=["payments"], responses=COMMON_RESPONSES)
    pages = Pages(pool)
    lists = ListPages(pool)

    @router.get(
        "/payments/{payment_id}",
        responses=NO_PAYMENT,
        response_description="The payment, with its attempts, and the first page of its refunds and of its disputes.",
        dependencies=[reader, Depends(only_parameters())],
        summary="Read a payment",
    )
    async def read_payment(payment_id: PaymentId) -> PaymentDetail:
        """Return the payment with its attempts, refunds and disputes, from one snapshot."""
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            row = await payment_reads.payment(connection, payment_id)
            attempts = await payment_attempts.of_payment(connection, payment_id)
            limit = PAGE_DEFAULT + 1
            refunds = await refund_reads.refunds(connection, payment_id, after=None, limit=limit)
            disputes = await refund_reads.disputes(connection, payment_id, after=None, limit=limit)
        if row is None:
            raise payment_not_found()
        return PaymentDetail(
            **row,
            attempts=[PaymentAttempt(**attempt) for attempt in attempts],
            refunds=await pages.page(Refund, refunds, PAGE_DEFAULT, payment_list_key(payment_id, "refunds")),
            disputes=await pages.page(Dispute, disputes, PAGE_DEFAULT, payment_list_key(payment_id, "disputes")),
        )

    @router.get(
        "/payments",
        response_model=Page[Payment],
        responses=page_responses(),
        dependencies=[reader, Depends(only_parameters(*PaymentsQuery.model_fields))],
        summary="List payments, newest first",
    )
    async def list_payments(request: Request, query: Annotated[PaymentsQuery, Query()]) -> Page[Payment] | Response:
        """Return the payments that match all given filters. Payments created while you read the list do not change its
        pages.
        """
        return page_or_csv(request, Payment, await lists.payments(query))

    return router
