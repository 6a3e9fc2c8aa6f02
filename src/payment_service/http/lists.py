"""Paging of the lists of `/v1`: query parameters and pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError

from payment_service.contracts.api import Page
from payment_service.contracts.timeline import TimelineEntry
from payment_service.db.places import Place
from payment_service.http.cursors import CURSOR_LENGTH_MAX, Cursors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payment_service.db.payment_reads import Row
    from payment_service.db.pool import Pool

# A page that a person can read and a program fetches in one round trip.
PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100

PaymentId = Annotated[
    UUID,
    Path(
        description="`payment_id` of any record, or `id` from a list.",
        examples=["ae21913b-5b2f-5c29-8abf-153dfb1cfa87"],
    ),
]
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

_RFC_3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def _require_rfc_3339(text: Any) -> Any:
    """Refuse bare numbers and dates: pydantic accepts them as a time, but a caller sends them by mistake."""
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise PydanticCustomError(
            "moment", "must be RFC 3339, such as 2026-12-25T14:00:00Z (encode + as %2B in a query)"
        )
    return text


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("moment", "is out of range") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_require_rfc_3339), AfterValidator(_to_utc)]

M = TypeVar("M", bound=BaseModel)


class Pages:
    """Builds pages. Callers read one row more than fits; it shows that another page follows."""

    def __init__(self, pool: Pool) -> None:
        self._cursors = Cursors(pool)

    async def start_after(self, cursor: str | None, list_key: Mapping[str, str | None]) -> Place | None:
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
        cursor = await self._cursors.encode(Place(last[by], str(last["id"])), list_key)
        return Page[model](data=data, has_more=True, next_cursor=cursor)  # type: ignore[valid-type]

    async def entries(
        self, found: Sequence[tuple[Place, TimelineEntry]], limit: int, list_key: Mapping[str, str | None]
    ) -> Page[TimelineEntry]:
        """Build a page of a timeline."""
        data = [entry for _, entry in found[:limit]]
        more = len(found) > limit
        cursor = await self._cursors.encode(found[limit - 1][0], list_key) if more else None
        return Page[TimelineEntry](data=data, has_more=more, next_cursor=cursor)
