"""`/v1`: what callers may read of payments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from payment_service.contracts.api import Payment, PaymentEvent
from payment_service.db import payment_reads
from payment_service.db.api_keys import Scope
from payment_service.db.payment_reads import Row, UnknownCursor
from payment_service.db.pool import Pool
from payment_service.http.auth import Keys, require
from payment_service.http.problems import INVALID, NOT_FOUND, PROBLEM_TYPE, Problem, ProblemBody

# A page that a person reads and a program takes in one round trip.
PAGE_DEFAULT: Final = 20
PAGE_MAX: Final = 100

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    data: list[T]
    has_more: bool
    next_cursor: UUID | None = Field(description="Send it as `cursor` to read on; null at the end.")


OrderId = Annotated[str, Query(pattern=r"^[\x21-\x7e]{1,64}$", description="1 to 64 printable ASCII characters.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many at most.")]
Cursor = Annotated[UUID | None, Query(description="`next_cursor` of the page before.")]


def problem(description: str) -> dict[str, Any]:
    """Describe an error in OpenAPI."""
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    return {"description": description, "content": {PROBLEM_TYPE: {"schema": schema}}}


ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    401: problem("No valid API key."),
    403: problem("The key lacks the scope."),
    404: problem("There is no such thing."),
    422: problem("A parameter is missing, unknown or not valid."),
    429: problem("Too many bad API keys from this address."),
    503: problem("The database does not answer; try again."),
}


def only_parameters(*names: str) -> Callable[[Request], Awaitable[None]]:
    """Make a dependency that refuses query parameters that mean nothing here, or are given twice: both are typing errors."""

    async def dependency(request: Request) -> None:
        given = [name for name, _ in request.query_params.multi_items()]
        if not set(given) <= set(names):
            known = ", ".join(names) or "none"
            raise Problem(INVALID, f"A query parameter is unknown here; known: {known}.")
        if len(given) != len(set(given)):
            raise Problem(INVALID, "A query parameter is given more than once.")

    return dependency


def payments_router(pool: Pool, keys: Keys) -> APIRouter:
    """Give the routes under `/v1`."""
    reader = Depends(require(keys, Scope.READ))
    router = APIRouter(prefix="/v1", tags=["payments"], responses=ANSWERS)

    @router.get("/payments/{payment_id}", dependencies=[reader, Depends(only_parameters())], summary="Read a payment")
    async def read_payment(payment_id: UUID) -> Payment:
        row = await payment_reads.payment(pool, payment_id)
        if row is None:
            raise _unknown_payment()
        return Payment(**row)

    @router.get(
        "/payments",
        dependencies=[reader, Depends(only_parameters("order_id", "limit", "cursor"))],
        summary="List an order's payments, the oldest first",
    )
    async def list_payments(order_id: OrderId, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None) -> Page[Payment]:
        try:
            rows = await payment_reads.payments_of_order(pool, order_id, after=cursor, limit=limit)
        except UnknownCursor:
            raise _unknown_cursor() from None
        return _page(Payment, rows, limit)

    @router.get(
        "/payments/{payment_id}/events",
        dependencies=[reader, Depends(only_parameters("limit", "cursor"))],
        summary="List what the provider told about a payment, in its order",
    )
    async def list_events(payment_id: UUID, limit: Limit = PAGE_DEFAULT, cursor: Cursor = None) -> Page[PaymentEvent]:
        try:
            rows = await payment_reads.events_of_payment(pool, payment_id, after=cursor, limit=limit)
        except UnknownCursor:
            raise _unknown_cursor() from None
        if rows is None:
            raise _unknown_payment()
        return _page(PaymentEvent, rows, limit)

    return router


M = TypeVar("M", bound=BaseModel)


def _page(model: type[M], rows: list[Row], limit: int) -> Page[M]:
    """Make a page of `limit` rows; one row more tells that there is more."""
    data = [model(**row) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(data=data, has_more=more, next_cursor=rows[limit - 1]["id"] if more else None)


def _unknown_payment() -> Problem:
    return Problem(NOT_FOUND, "There is no payment with this id.")


def _unknown_cursor() -> Problem:
    return Problem(
        INVALID, "The cursor is none of this list: send `next_cursor` of the page before, or begin without one."
    )
