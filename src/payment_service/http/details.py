"""`/v1/payments/{id}/…`: what hangs on a payment, and what happened to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from payment_service.contracts.api import Dispute, Page, PaymentEvent, Refund
from payment_service.contracts.timeline import TimelineEntry
from payment_service.db import payment_reads, refund_reads
from payment_service.db.api_keys import Scope
from payment_service.db.places import BEGINNING
from payment_service.db.pool import Pool
from payment_service.db.timeline import timeline
from payment_service.http.auth import Keys, require
from payment_service.http.lists import PAGE_DEFAULT, PAGE_MAX, Cursor, Limit, Pages
from payment_service.http.payments import ANSWERS, only_parameters, part_of, unknown_payment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from payment_service.db.payment_reads import Row

M = TypeVar("M", bound=BaseModel)


def details_router(pool: Pool, keys: Keys) -> APIRouter:
    """Give the lists of one payment."""
    reader = Depends(require(keys, Scope.READ))
    router = APIRouter(prefix="/v1/payments/{payment_id}", tags=["payments"], responses=ANSWERS)
    asked = [reader, Depends(only_parameters("limit", "cursor"))]
    pages = Pages(pool)

    async def part(
        name: str,
        model: type[M],
        read: Callable[..., Awaitable[list[Row]]],
        asked: tuple[UUID, int, str | None],
        **order: Any,
    ) -> Page[M]:
        payment_id, limit, cursor = asked
        of = part_of(payment_id, name)
        rows = await read(pool, payment_id, after=await pages.begin(cursor, of), limit=limit + 1)
        if not rows and not await payment_reads.exists(pool, payment_id):
            raise unknown_payment()
        return await pages.page(model, rows, limit, of, **order)

    @router.get("/events", dependencies=asked, summary="List what the provider told about a payment, in its order")
    async def list_events(payment_id: UUID, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None) -> Page[PaymentEvent]:
        return await part("events", PaymentEvent, payment_reads.events, (payment_id, limit, cursor), by="occurred_at")

    @router.get("/refunds", dependencies=asked, summary="List a payment's refunds, the newest first")
    async def list_refunds(payment_id: UUID, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None) -> Page[Refund]:
        return await part("refunds", Refund, refund_reads.refunds, (payment_id, limit, cursor))

    @router.get("/disputes", dependencies=asked, summary="List a payment's disputes, the newest first")
    async def list_disputes(payment_id: UUID, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None) -> Page[Dispute]:
        return await part("disputes", Dispute, refund_reads.disputes, (payment_id, limit, cursor))

    @router.get("/timeline", dependencies=asked, summary="Read all that is known of a payment, in order")
    async def read_timeline(payment_id: UUID, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Page[TimelineEntry]:
        """The order, who asked for what, calls to the provider with each attempt, its events, every change and every record.

        Times are the database's; entries of one transaction have one time, and stand in the order of cause and effect.
        What changes later (a call that is tried again, a refund that succeeds) is shown as it is now, where it began.
        """
        of = part_of(payment_id, "timeline")
        after = await pages.begin(cursor, of) or BEGINNING
        found = await timeline(pool, payment_id, after=after, limit=limit + 1)
        if not found and not await payment_reads.exists(pool, payment_id):
            raise unknown_payment()
        return await pages.entries(found, limit, of)

    return router
