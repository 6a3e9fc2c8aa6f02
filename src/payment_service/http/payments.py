"""Routes of `/v1` that read payments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from payment_service.contracts.api import Dispute, Page, Payment, PaymentDetail, Refund, ShownStatus
from payment_service.contracts.orders import USER_ID_LIMIT_CHARACTERS
from payment_service.db import payment_reads, refund_reads
from payment_service.db.api_keys import Scope
from payment_service.db.payment_reads import Filters
from payment_service.db.pool import Pool
from payment_service.http.auth import Authenticator, require
from payment_service.http.lists import PAGE_DEFAULT, Cursor, Limit, Pages, payment_list_key
from payment_service.http.parameters import ORDER_ID, Moment, PaymentId, only_parameters
from payment_service.http.problems import payment_not_found
from payment_service.http.responses import COMMON_RESPONSES, NO_PAYMENT, PAGE
from payment_service_events.currency import CURRENCIES


def _known_currency(code: str) -> str:
    if code.lower() not in CURRENCIES:
        raise PydanticCustomError("currency", "must be an ISO 4217 code of a supported currency, such as eur")
    return code.lower()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("user_id", "must contain printable characters only")
    return text


class PaymentsQuery(BaseModel):
    """Filters and paging of the list of payments."""

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
        description="The order's user id.",
        examples=["user-7"],
    )
    status: ShownStatus | None = Field(
        default=None,
        description="A status as responses show it, including derived ones.",
        examples=["partially_refunded"],
    )
    currency: Annotated[str, AfterValidator(_known_currency)] | None = Field(
        default=None,
        description="ISO 4217 code, in lower or upper case.",
        examples=["eur"],
        json_schema_extra=lambda schema: schema.update(enum=[*sorted(CURRENCIES)]),
    )
    created_from: Moment | None = Field(
        default=None, description="RFC 3339, inclusive.", examples=["2026-12-01T00:00:00Z"]
    )
    created_to: Moment | None = Field(
        default=None, description="RFC 3339, exclusive.", examples=["2027-01-01T00:00:00Z"]
    )
    limit: Limit = PAGE_DEFAULT
    cursor: Cursor = None

    def filters(self) -> Filters:
        """Return the filters without the paging."""
        return Filters(**{name: getattr(self, name) for name in Filters.__slots__})

    def list_key(self) -> dict[str, str | None]:
        """Return the list's name and the given filters, which a cursor is bound to. A new filter keeps old cursors valid."""
        given = {name: getattr(self, name) for name in Filters.__slots__}
        return {"list": "payments", **{name: str(value) for name, value in given.items() if value is not None}}


def payments_router(pool: Pool, authenticator: Authenticator) -> APIRouter:
    """Return the routes that read payments."""
    reader = Depends(require(authenticator, Scope.READ))
    router = APIRouter(prefix="/v1", tags=["payments"], responses=COMMON_RESPONSES)
    pages = Pages(pool)

    @router.get(
        "/payments/{payment_id}",
        responses=NO_PAYMENT,
        response_description="The payment, with the first page of its refunds and of its disputes.",
        dependencies=[reader, Depends(only_parameters())],
        summary="Read a payment",
    )
    async def read_payment(payment_id: PaymentId) -> PaymentDetail:
        """Return the payment with its refunds and disputes, from one snapshot."""
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            row = await payment_reads.payment(connection, payment_id)
            limit = PAGE_DEFAULT + 1
            refunds = await refund_reads.refunds(connection, payment_id, after=None, limit=limit)
            disputes = await refund_reads.disputes(connection, payment_id, after=None, limit=limit)
        if row is None:
            raise payment_not_found()
        return PaymentDetail(
            **row,
            refunds=await pages.page(Refund, refunds, PAGE_DEFAULT, payment_list_key(payment_id, "refunds")),
            disputes=await pages.page(Dispute, disputes, PAGE_DEFAULT, payment_list_key(payment_id, "disputes")),
        )

    @router.get(
        "/payments",
        responses=PAGE,
        dependencies=[reader, Depends(only_parameters(*PaymentsQuery.model_fields))],
        summary="List payments, newest first",
    )
    async def list_payments(query: Annotated[PaymentsQuery, Query()]) -> Page[Payment]:
        """Return the payments that match all given filters. Payments created while you read the list do not change its
        pages.
        """
        list_key = query.list_key()
        after = await pages.start_after(query.cursor, list_key)
        rows = await payment_reads.payments(pool, query.filters(), after=after, limit=query.limit + 1)
        return await pages.page(Payment, rows, query.limit, list_key)

    return router
