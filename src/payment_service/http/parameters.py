"""Parameters that several routes of `/v1` share, and the check for unknown ones."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Request
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

from payment_service.http.problems import INVALID, Problem

ORDER_ID: Final = r"^[!-~]{1,64}$"

PaymentId = Annotated[
    UUID,
    Path(
        description="`payment_id` of any record, or `id` from a list.",
        examples=["ae21913b-5b2f-5c29-8abf-153dfb1cfa87"],
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


def only_parameters(*names: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that refuses unknown and repeated query parameters: both are typing errors."""

    async def dependency(request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        if not set(given) <= set(names):
            known = ", ".join(names) or "none"
            raise Problem(INVALID, f"A query parameter is unknown. Known parameters: {known}.")
        if len(given) != len(set(given)):
            raise Problem(INVALID, "A query parameter is repeated.")

    return dependency
