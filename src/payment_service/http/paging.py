"""Paging of the lists of `/v1`: query parameters and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from fastapi import Query
from pydantic import BaseModel

from payment_service.contracts.api import Page
from payment_service.contracts.timeline import TimelineEntry
from payment_service.db.keyset import KeysetCursor
from payment_service.http.cursors import CURSOR_LENGTH_MAX, Cursors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from payment_service.db.payment_reads import Row
    from payment_service.db.pool import Pool

# A page that a person can read and a program fetches in one round trip.
PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Maximum number of entries.", examples=[20])]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=CURSOR_LENGTH_MAX,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="`next_cursor` of the previous page. It is valid for the same list with the same filters.",
        examples=["pUoHhJ8p8n5m0mZ1oVb4xVsxNzk4MjA3MjAyMDkzMDAwLCJwaSJd"],
    ),
]

M = TypeVar("M", bound=BaseModel)


class Pages:
    """Builds pages. Callers read one row more than fits; it shows that another page follows."""

    def __init__(self, pool: Pool) -> None:
        self._cursors = Cursors(pool)

    async def start_after(self, cursor: str | None, list_key: Mapping[str, str | None]) -> KeysetCursor | None:
        """Return the position after which the list continues, or None to start at the beginning. Raises Problem (422)."""
        return await self._cursors.decode(cursor, list_key)

    async def page(
        self,
        model: type[M],
        rows: Sequence[Row],
        limit: int,
        list_key: Mapping[str, str | None],
        *,
        by: str = "created_at",
    ) -> Page[M]:
        """Build a page of `limit` rows that are sorted by (`by`, id)."""
        data = [model.model_validate(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return Page[model](data=data, has_more=False, next_cursor=None)  # type: ignore[valid-type]
        last = rows[limit - 1]
        cursor = await self._cursors.encode(KeysetCursor(last[by], str(last["id"])), list_key)
        return Page[model](data=data, has_more=True, next_cursor=cursor)  # type: ignore[valid-type]

    async def entries(
        self, found: Sequence[tuple[KeysetCursor, TimelineEntry]], limit: int, list_key: Mapping[str, str | None]
    ) -> Page[TimelineEntry]:
        """Build a page of a timeline."""
        data = [entry for _, entry in found[:limit]]
        more = len(found) > limit
        cursor = await self._cursors.encode(found[limit - 1][0], list_key) if more else None
        return Page[TimelineEntry](data=data, has_more=more, next_cursor=cursor)


def payment_list_key(payment_id: UUID, name: str) -> dict[str, str | None]:
    """Return the name of a payment's list, which a cursor is bound to."""
    return {"list": name, "payment": str(payment_id)}
