"""Routes under `/v1/payments/{id}/`: a payment's events, refunds, disputes and timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from payment_service.contracts.api import Dispute, Page, PaymentEvent, Refund
from payment_service.contracts.timeline import TimelineEntry
from payment_service.db import payment_reads, refund_reads
from payment_service.db.api_keys import Scope
from payment_service.db.keyset import BEGINNING
from payment_service.db.pool import Pool
from payment_service.db.timeline import timeline
from payment_service.http.auth import Authenticator, require
from payment_service.http.paging import PAGE_DEFAULT, PAGE_MAX, Cursor, Limit, Pages, payment_list_key
from payment_service.http.parameters import PaymentId, only_parameters
from payment_service.http.problems import payment_not_found
from payment_service.http.responses import COMMON_RESPONSES, NO_PAYMENT, PAGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from payment_service.db.payment_reads import Row

M = TypeVar("M", bound=BaseModel)


class _PaymentLists:
    """Reads pages of the lists that belong to one payment."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pages = Pages(pool)

    async def page(
        self,
        payment_id: UUID,
        name: str,
        model: type[M],
        read: Callable[..., Awaitable[list[Row]]],
        limit: int,
        cursor: str | None,
        *,
        by: str = "created_at",
    ) -> Page[M]:
        """Read a page of the list `name`, which is sorted by (`by`, id). Raises Problem (404, 422)."""
        list_key = payment_list_key(payment_id, name)
        rows = await read(
            self._pool, payment_id, after=await self._pages.start_after(cursor, list_key), limit=limit + 1
        )
        if not rows:
            await self._require(payment_id)
        return await self._pages.page(model, rows, limit, list_key, by=by)

    async def timeline(self, payment_id: UUID, limit: int, cursor: str | None) -> Page[TimelineEntry]:
        """Read a page of the timeline. Raises Problem (404, 422)."""
        list_key = payment_list_key(payment_id, "timeline")
        after = await self._pages.start_after(cursor, list_key) or BEGINNING
        found = await timeline(self._pool, payment_id, after=after, limit=limit + 1)
        if not found:
            await self._require(payment_id)
        return await self._pages.entries(found, limit, list_key)

    async def _require(self, payment_id: UUID) -> None:
        if not await payment_reads.exists(self._pool, payment_id):
            raise payment_not_found()


def payment_list_router(pool: Pool, authenticator: Authenticator) -> APIRouter:
    """Return the routes of the lists of one payment."""
    reader = Depends(require(authenticator, Scope.READ))
    router = APIRouter(
        prefix="/v1/payments/{payment_id}", tags=["payments"], responses=COMMON_RESPONSES | NO_PAYMENT | PAGE
    )
    dependencies = [reader, Depends(only_parameters("limit", "cursor"))]
    lists = _PaymentLists(pool)

    @router.get(
        "/events",
        dependencies=dependencies,
        summary="List a payment's provider events, in the order in which they occurred",
    )
    async def list_payment_events(
        payment_id: PaymentId, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None
    ) -> Page[PaymentEvent]:
        """Return the provider events that name this payment, without their content."""
        return await lists.page(
            payment_id, "events", PaymentEvent, payment_reads.events, limit, cursor, by="occurred_at"
        )

    @router.get("/refunds", dependencies=dependencies, summary="List a payment's refunds, newest first")
    async def list_payment_refunds(
        payment_id: PaymentId, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None
    ) -> Page[Refund]:
        """Return the payment's refunds, including those that were made at the provider."""
        return await lists.page(payment_id, "refunds", Refund, refund_reads.refunds, limit, cursor)

    @router.get("/disputes", dependencies=dependencies, summary="List a payment's disputes, newest first")
    async def list_payment_disputes(
        payment_id: PaymentId, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None
    ) -> Page[Dispute]:
        """Return the payment's disputes with the deadlines for evidence."""
        return await lists.page(payment_id, "disputes", Dispute, refund_reads.disputes, limit, cursor)

    @router.get("/timeline", dependencies=dependencies, summary="Read a payment's timeline, in order")
    async def read_payment_timeline(
        payment_id: PaymentId, limit: Limit = PAGE_MAX, cursor: Cursor = None
    ) -> Page[TimelineEntry]:
        """Return the order, API requests, provider calls with their attempts, provider events, state changes and
        published records.

        Times are the database's. Entries of the same transaction have the same time and are sorted by cause and effect.
        Entries that change later, such as a retried call, appear where they began and show their current state.
        """
        return await lists.timeline(payment_id, limit, cursor)

    return router
