"""The route that lists the runs of reconciliation."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends

from payment_service.contracts.api import Page, Reconciliation
from payment_service.db import reconciliations
from payment_service.db.api_keys import Scope
from payment_service.db.pool import Pool
from payment_service.http.auth import Authenticator, require
from payment_service.http.paging import PAGE_DEFAULT, Cursor, Limit, Pages
from payment_service.http.parameters import only_parameters
from payment_service.http.responses import COMMON_RESPONSES, PAGE

_LIST_KEY: Final = {"list": "reconciliations"}


def reconciliations_router(pool: Pool, authenticator: Authenticator) -> APIRouter:
    """Return the route of the runs."""
    router = APIRouter(prefix="/v1", tags=["reconciliations"], responses=COMMON_RESPONSES)
    pages = Pages(pool)

    @router.get(
        "/reconciliations",
        responses=PAGE,
        dependencies=[Depends(require(authenticator, Scope.READ)), Depends(only_parameters("limit", "cursor"))],
        summary="List reconciliations, newest first",
    )
    async def list_reconciliations(limit: Limit = PAGE_DEFAULT, cursor: Cursor = None) -> Page[Reconciliation]:
        """Return the comparisons of the provider's objects with the database, with their counts."""
        after = await pages.start_after(cursor, _LIST_KEY)
        rows = await reconciliations.runs(pool, after=after, limit=limit + 1)
        return await pages.page(Reconciliation, rows, limit, _LIST_KEY, by="started_at")

    return router
