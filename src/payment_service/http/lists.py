"""Lists of `/v1`: how they are asked for, and how their pages are made."""

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
from payment_service.db.keyset import KeysetCursor
from payment_service.http.cursors import CURSOR_LENGTH_MAX, Cursors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payment_service.db.payment_reads import Row
    from payment_service.db.pool import Pool

# A page that a person reads and a program takes in one round trip.
PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100

PaymentId = Annotated[
    UUID,
    Path(description="`payment_id` of any record, `id` of a list.", examples=["ae21913b-5b2f-5c29-8abf-153dfb1cfa87"]),
]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many at most.", examples=[20])]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=CURSOR_LENGTH_MAX,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="`next_cursor` of the page before; good for the same list with the same filters.",
        examples=["pUoHhJ8p8n5m0mZ1oVb4xVsxNzk4MjA3MjAyMDkzMDAwLCJwaSJd"],
    ),
]

_RFC_3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def _require_rfc_3339(text: Any) -> Any:
    """A bare number or date may be a moment to others; here it is somebody's mistake."""
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise PydanticCustomError("moment", "write it as RFC 3339, such as 2026-12-25T14:00:00Z (in a query, + is %2B)")
    return text


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("moment", "it is beyond all calendars") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_require_rfc_3339), AfterValidator(_to_utc)]

M = TypeVar("M", bound=BaseModel)


class Pages:
    """Makes pages of rows, one more of which was read than fit: it tells that there is more."""

    def __init__(self, pool: Pool) -> None:
        self._cursors = Cursors(pool)

    async def begin(self, cursor: str | None, of: Mapping[str, str | None]) -> KeysetCursor | None:
        """Where a list is to go on; None: at its beginning. `of`: its name and filters. Raises Problem (422)."""
        return await self._cursors.unseal(cursor, of)

    async def page(
        self, model: type[M], rows: Sequence[Row], limit: int, of: Mapping[str, str | None], *, by: str = "created_at"
    ) -> Page[M]:
        """Make a page of `limit` rows that are in the order of (`by`, id)."""
        data = [model.model_validate(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return Page[model](data=data, has_more=False, next_cursor=None)  # type: ignore[valid-type]
        last = rows[limit - 1]
        cursor = await self._cursors.seal(KeysetCursor(last[by], str(last["id"])), of)
        return Page[model](data=data, has_more=True, next_cursor=cursor)  # type: ignore[valid-type]

    async def entries(
        self, found: Sequence[tuple[KeysetCursor, TimelineEntry]], limit: int, of: Mapping[str, str | None]
    ) -> Page[TimelineEntry]:
        """Make a page of a timeline."""
        data = [entry for _, entry in found[:limit]]
        more = len(found) > limit
        cursor = await self._cursors.seal(found[limit - 1][0], of) if more else None
        return Page[TimelineEntry](data=data, has_more=more, next_cursor=cursor)
