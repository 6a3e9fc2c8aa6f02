"""`/v1`: what callers may read of payments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from payment_service.contracts.api import Dispute, Page, Payment, PaymentDetail, Refund, ShownStatus
from payment_service.contracts.orders import USER_ID_LIMIT_CHARACTERS
from payment_service.db import payment_reads, refund_reads
from payment_service.db.api_keys import Scope
from payment_service.db.payment_reads import Filters
from payment_service.db.pool import Pool
from payment_service.http.answers import ANSWERS, NO_PAYMENT, PAGE
from payment_service.http.auth import Keys, require
from payment_service.http.lists import PAGE_DEFAULT, Cursor, Limit, Moment, Pages, PaymentId
from payment_service.http.problems import INVALID, NOT_FOUND, Problem
from payment_service_events.currency import CURRENCIES

ORDER_ID: Final = r"^[!-~]{1,64}$"


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


def _known_currency(code: str) -> str:
    if code.lower() not in CURRENCIES:
        raise PydanticCustomError("currency", "write an ISO 4217 code that can be charged, such as eur")
    return code.lower()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("user_id", "an id has printable characters only")
    return text


class PaymentsQuery(BaseModel):
    """Which payments are wanted, and which part of their list."""

    order_id: str | None = Field(
        default=None,
        pattern=ORDER_ID,
        description="1 to 64 printable ASCII characters.",
        examples=["order-1001"],
    )
    user_id: Annotated[str, AfterValidator(_printable)] | None = Field(
        default=None,
        min_length=1,
        max_length=USER_ID_LIMIT_CHARACTERS,
        description="As the order named the user.",
        examples=["user-7"],
    )
    status: ShownStatus | None = Field(
        default=None, description="As it is shown; the derived ones too.", examples=["partially_refunded"]
    )
    currency: Annotated[str, AfterValidator(_known_currency)] | None = Field(
        default=None,
        description="ISO 4217, in lower case (upper case is taken too).",
        examples=["eur"],
        json_schema_extra=lambda schema: schema.update(enum=[*sorted(CURRENCIES)]),
    )
    created_from: Moment | None = Field(
        default=None, description="RFC 3339; from this moment on.", examples=["2026-12-01T00:00:00Z"]
    )
    created_to: Moment | None = Field(
        default=None, description="RFC 3339; before this moment.", examples=["2027-01-01T00:00:00Z"]
    )
    limit: Limit = PAGE_DEFAULT
    cursor: Cursor = None

    def filters(self) -> Filters:
        """The filters alone."""
        return Filters(**{name: getattr(self, name) for name in Filters.__slots__})

    def of(self) -> dict[str, str | None]:
        """What a cursor of this list is bound to."""
        given = {name: getattr(self, name) for name in Filters.__slots__}
        return {"list": "payments", **{name: None if value is None else str(value) for name, value in given.items()}}


def payments_router(pool: Pool, keys: Keys) -> APIRouter:
    """Give the routes under `/v1`."""
    reader = Depends(require(keys, Scope.READ))
    router = APIRouter(prefix="/v1", tags=["payments"], responses=ANSWERS)
    pages = Pages(pool)

    @router.get(
        "/payments/{payment_id}",
        responses=NO_PAYMENT,
        response_description="The payment, with the first page of its refunds and of its disputes.",
        dependencies=[reader, Depends(only_parameters())],
        summary="Read a payment",
    )
    async def read_payment(payment_id: PaymentId) -> PaymentDetail:
        """With its refunds and disputes, all of one moment."""
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            row = await payment_reads.payment(connection, payment_id)
            limit = PAGE_DEFAULT + 1
            refunds = await refund_reads.refunds(connection, payment_id, after=None, limit=limit)
            disputes = await refund_reads.disputes(connection, payment_id, after=None, limit=limit)
        if row is None:
            raise unknown_payment()
        return PaymentDetail(
            **row,
            refunds=await pages.page(Refund, refunds, PAGE_DEFAULT, part_of(payment_id, "refunds")),
            disputes=await pages.page(Dispute, disputes, PAGE_DEFAULT, part_of(payment_id, "disputes")),
        )

    @router.get(
        "/payments",
        responses=PAGE,
        dependencies=[reader, Depends(only_parameters(*PaymentsQuery.model_fields))],
        summary="List payments, the newest first",
    )
    async def list_payments(query: Annotated[PaymentsQuery, Query()]) -> Page[Payment]:
        """All filters that are given must fit. Payments that come while a list is read on change no page of it."""
        of = query.of()
        after = await pages.begin(query.cursor, of)
        rows = await payment_reads.payments(pool, query.filters(), after=after, limit=query.limit + 1)
        return await pages.page(Payment, rows, query.limit, of)

    return router


def part_of(payment_id: UUID, name: str) -> dict[str, str | None]:
    """What a cursor of a list of a payment is bound to."""
    return {"list": name, "payment": str(payment_id)}


def unknown_payment() -> Problem:
    """There is none with this id."""
    return Problem(NOT_FOUND, "There is no payment with this id.")
