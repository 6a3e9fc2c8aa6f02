"""Routes of `/v1` that list over all payments: refunds, disputes and the audit. And the search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from payment_service.contracts.api import AuditEntry, Dispute, Page, Refund, SearchResult
from payment_service.db import search
from payment_service.db.api_keys import Scope
from payment_service.db.pool import Pool
from payment_service.http.auth import Authenticator, require
from payment_service.http.csv_pages import page_or_csv, page_responses
from payment_service.http.list_queries import PRINTABLE, AuditQuery, DisputesQuery, ListPages, RefundsQuery
from payment_service.http.paging import PAGE_DEFAULT, Limit
from payment_service.http.parameters import only_parameters
from payment_service.http.responses import COMMON_RESPONSES

_Text = Annotated[
    str,
    Query(
        min_length=1,
        max_length=search.TEXT_LENGTH_MAX,
        pattern=PRINTABLE,
        description="The text to search for.",
        examples=["pi_3SxYz1"],
    ),
]


def list_router(pool: Pool, authenticator: Authenticator) -> APIRouter:
    """Return the routes of the lists over all payments."""
    reader = Depends(require(authenticator, Scope.READ))
    admin = Depends(require(authenticator, Scope.ADMIN))
    router = APIRouter(prefix="/v1", responses=COMMON_RESPONSES)
    lists = ListPages(pool)

    @router.get(
        "/refunds",
        tags=["refunds"],
        response_model=Page[Refund],
        responses=page_responses(),
        dependencies=[reader, Depends(only_parameters(*RefundsQuery.model_fields))],
        summary="List refunds, newest first",
    )
    async def list_refunds(request: Request, query: Annotated[RefundsQuery, Query()]) -> Page[Refund] | Response:
        return page_or_csv(request, Refund, await lists.refunds(query))

    @router.get(
        "/disputes",
        tags=["disputes"],
        response_model=Page[Dispute],
        responses=page_responses(),
        dependencies=[reader, Depends(only_parameters(*DisputesQuery.model_fields))],
        summary="List disputes, newest first, or those to answer by deadline",
    )
    async def list_disputes(request: Request, query: Annotated[DisputesQuery, Query()]) -> Page[Dispute] | Response:
        return page_or_csv(request, Dispute, await lists.disputes(query))

    @router.get(
        "/audit",
        tags=["audit"],
        response_model=Page[AuditEntry],
        responses=page_responses(),
        dependencies=[admin, Depends(only_parameters(*AuditQuery.model_fields))],
        summary="List the changes that people and keys requested, newest first",
    )
    async def list_audit(request: Request, query: Annotated[AuditQuery, Query()]) -> Page[AuditEntry] | Response:
        return page_or_csv(request, AuditEntry, await lists.audit(query))

    @router.get(
        "/search",
        tags=["payments"],
        dependencies=[reader, Depends(only_parameters("text", "limit"))],
        response_description="The payments that the text names.",
        summary="Find payments by an id, a reference, a user, or a card with its amount",
    )
    async def search_payments(text: _Text, limit: Limit = PAGE_DEFAULT) -> SearchResult:
        """Search for an order, a payment, a refund, a dispute, an event, an id of the provider (`pi_…`, `ch_…`, `re_…`,
        `du_…`, `evt_…`), a bank reference, a user, or the last four digits of a card and the amount: `4242 19.90 eur`.
        """
        return await search.search(pool, text, limit=limit)

    return router
