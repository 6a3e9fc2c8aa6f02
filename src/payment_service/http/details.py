"""`/v1/payments/{id}/…`: what hangs on a payment, and what happened to it."""

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
from payment_service.http.answers import ANSWERS, NO_PAYMENT, PAGE
from payment_service.http.auth import Keys, require
from payment_service.http.lists import PAGE_DEFAULT, PAGE_MAX, Cursor, Limit, Pages, PaymentId
from payment_service.http.payments import only_parameters, part_of, unknown_payment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from payment_service.db.payment_reads import Row

M = TypeVar("M", bound=BaseModel)


class _Parts:
    """Reads pages of what hangs on a payment."""

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
        """Read a page of the list `name`, which is in the order of (`by`, id). Raises Problem (404, 422)."""
        of = part_of(payment_id, name)
        rows = await read(self._pool, payment_id, after=await self._pages.begin(cursor, of), limit=limit + 1)
        if not rows:
            await self._require(payment_id)
        return await self._pages.page(model, rows, limit, of, by=by)

    async def timeline(self, payment_id: UUID, limit: int, cursor: str | None) -> Page[TimelineEntry]:
        """Read a page of the timeline. Raises Problem (404, 422)."""
        of = part_of(payment_id, "timeline")
        after = await self._pages.begin(cursor, of) or BEGINNING
        found = await timeline(self._pool, payment_id, after=after, limit=limit + 1)
        if not found:
            await self._require(payment_id)
        return await self._pages.entries(found, limit, of)

    async def _require(self, payment_id: UUID) -> None:
        if not await payment_reads.exists(self._pool, payment_id):
            raise unknown_payment()


def details_router(pool: Pool, keys: Keys) -> APIRouter:
    """Give the lists of one payment."""
    reader = Depends(require(keys, Scope.READ))
    router = APIRouter(prefix="/v1/payments/{payment_id}", tags=["payments"], responses=ANSWERS | NO_PAYMENT | PAGE)
    asked = [reader, Depends(only_parameters("limit", "cursor"))]
    parts = _Parts(pool)

    @router.get("/events", dependencies=asked, summary="List what the provider told of a payment, in its order")
    async def list_payment_events(
        payment_id: PaymentId, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None
    ) -> Page[PaymentEvent]:
        return await parts.page(
            payment_id, "events", PaymentEvent, payment_reads.events, limit, cursor, by="occurred_at"
        )

    @router.get("/refunds", dependencies=asked, summary="List a payment's refunds, the newest first")
    async def list_payment_refunds(
        payment_id: PaymentId, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None
    ) -> Page[Refund]:
        return await parts.page(payment_id, "refunds", Refund, refund_reads.refunds, limit, cursor)

    @router.get("/disputes", dependencies=asked, summary="List a payment's disputes, the newest first")
    async def list_payment_disputes(
        payment_id: PaymentId, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None
    ) -> Page[Dispute]:
        return await parts.page(payment_id, "disputes", Dispute, refund_reads.disputes, limit, cursor)

    @router.get("/timeline", dependencies=asked, summary="Read all that is known of a payment, in order")
    async def read_payment_timeline(
        payment_id: PaymentId, limit: Limit = PAGE_MAX, cursor: Cursor = None
    ) -> Page[TimelineEntry]:
        """The order, who asked for what, calls to the provider with each attempt, its events, every change and every record.

        Times are the database's; entries of one transaction have one time, and stand in the order of cause and effect.
        What changes later (a call that is tried again, a refund that succeeds) is shown as it is now, where it began.
        """
        return await parts.timeline(payment_id, limit, cursor)

    return router
