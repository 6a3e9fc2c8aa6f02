"""Pages of the lists over all payments, by filters and a cursor: the same for `/v1`, the command line and exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from payment_service.contracts.api import AuditEntry, Dispute, Page, Payment, Refund, ShownStatus
from payment_service.contracts.orders import USER_ID_LIMIT_CHARACTERS
from payment_service.db import audit, payment_reads, refund_reads
from payment_service.db.audit import AuditFilters
from payment_service.db.payment_reads import Filters
from payment_service.db.refund_reads import StatusFilters
from payment_service.http.paging import PAGE_DEFAULT, Cursor, Limit, Pages
from payment_service.http.parameters import ORDER_ID, Moment
from payment_service.http.problems import INVALID, Problem
from payment_service_events.currency import CURRENCIES

if TYPE_CHECKING:
    from payment_service.db.pool import Pool

PRINTABLE: Final = r"^[^\x00-\x1f\x7f]+$"
_WORD: Final = r"^[a-z0-9_]{1,64}$"
_ACTION: Final = r"^[a-z0-9_.]{1,64}$"


def _known_currency(code: str) -> str:
    if code.lower() not in CURRENCIES:
        raise PydanticCustomError("currency", "must be an ISO 4217 code of a supported currency, such as eur")
    return code.lower()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("user_id", "must contain printable characters only")
    return text


class ListQuery(BaseModel):
    """Times and paging of a list."""

    created_from: Moment | None = Field(
        default=None, description="RFC 3339, inclusive.", examples=["2026-12-01T00:00:00Z"]
    )
    created_to: Moment | None = Field(
        default=None, description="RFC 3339, exclusive.", examples=["2027-01-01T00:00:00Z"]
    )
    limit: Limit = PAGE_DEFAULT
    cursor: Cursor = None

    def list_key(self, name: str) -> dict[str, str | None]:
        """Return the list's name and the given filters, which a cursor is bound to."""
        given = self.model_dump(exclude={"limit", "cursor"}, exclude_defaults=True)
        return {"list": name, **{field: str(value) for field, value in given.items()}}


class PaymentsQuery(ListQuery):
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

    def filters(self) -> Filters:
        """Return the filters without the paging."""
        return Filters(**{name: getattr(self, name) for name in Filters.__slots__})


class RefundsQuery(ListQuery):
    """Filters and paging of the list of refunds."""

    status: Literal["pending", "requires_action", "succeeded", "failed", "canceled"] | None = Field(
        default=None, description="Status of the refunds.", examples=["pending"]
    )

    def filters(self) -> StatusFilters:
        """Return the filters without the paging."""
        return StatusFilters(status=self.status, created_from=self.created_from, created_to=self.created_to)


class DisputesQuery(ListQuery):
    """Filters and paging of the list of disputes."""

    status: str | None = Field(
        default=None, pattern=_WORD, description="Status of the disputes.", examples=["needs_response"]
    )
    to_answer: bool = Field(
        default=False,
        description="True: only disputes that need a response, the earliest deadline first. It excludes other filters.",
        examples=[True],
        json_schema_extra={"enum": [True, False]},
    )

    def filters(self) -> StatusFilters:
        """Return the filters without the paging. Raises Problem (422)."""
        if self.to_answer and (self.status or self.created_from or self.created_to):
            raise Problem(INVALID, "to_answer excludes other filters.")
        return StatusFilters(status=self.status, created_from=self.created_from, created_to=self.created_to)


class AuditQuery(ListQuery):
    """Filters and paging of the audit. Give at most one of `client`, `action` and `payment_id`."""

    client: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=PRINTABLE,
        description="The requester, as an entry shows it.",
        examples=["cli:ada"],
    )
    action: str | None = Field(default=None, pattern=_ACTION, description="The requested change.", examples=["refund"])
    payment_id: UUID | None = Field(
        default=None, description="The payment that was changed.", examples=["ae21913b-5b2f-5c29-8abf-153dfb1cfa87"]
    )

    def filters(self) -> AuditFilters:
        """Return the filters. Raises Problem (422)."""
        if sum(value is not None for value in (self.client, self.action, self.payment_id)) > 1:
            raise Problem(INVALID, "Give at most one of client, action and payment_id.")
        return AuditFilters(**self.model_dump(exclude={"limit", "cursor"}))


class ListPages:
    """Reads a page of a list. Raises Problem (422) for a cursor of another list."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pages = Pages(pool)

    async def payments(self, query: PaymentsQuery) -> Page[Payment]:
        """List payments, the newest first."""
        list_key = query.list_key("payments")
        after = await self._pages.start_after(query.cursor, list_key)
        rows = await payment_reads.payments(self._pool, query.filters(), after=after, limit=query.limit + 1)
        return await self._pages.page(Payment, rows, query.limit, list_key)

    async def refunds(self, query: RefundsQuery) -> Page[Refund]:
        """List refunds, the newest first."""
        list_key = query.list_key("all refunds")
        after = await self._pages.start_after(query.cursor, list_key)
        rows = await refund_reads.all_refunds(self._pool, query.filters(), after=after, limit=query.limit + 1)
        return await self._pages.page(Refund, rows, query.limit, list_key)

    async def disputes(self, query: DisputesQuery) -> Page[Dispute]:
        """List disputes, the newest first, or those to answer by their deadline."""
        list_key, filters = query.list_key("all disputes"), query.filters()
        after = await self._pages.start_after(query.cursor, list_key)
        if query.to_answer:
            rows = await refund_reads.disputes_to_answer(self._pool, after=after, limit=query.limit + 1)
        else:
            rows = await refund_reads.all_disputes(self._pool, filters, after=after, limit=query.limit + 1)
        by = "answer_by" if query.to_answer else "created_at"
        return await self._pages.page(Dispute, rows, query.limit, list_key, by=by)

    async def audit(self, query: AuditQuery) -> Page[AuditEntry]:
        """List the audit, the newest first."""
        list_key = query.list_key("audit")
        after = await self._pages.start_after(query.cursor, list_key)
        rows = await audit.entries(self._pool, query.filters(), after=after, limit=query.limit + 1)
        return await self._pages.page(AuditEntry, rows, query.limit, list_key, by="at")
