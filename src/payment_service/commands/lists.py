"""`payments list`, `refunds list`, `disputes list`, `audit list` and `search`: the lists of the API, for people and as CSV."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from payment_service.commands import output, session
from payment_service.config.config import ConfigError
from payment_service.config.validation_messages import validation_message
from payment_service.contracts.api import AuditEntry, Dispute, Payment, Refund
from payment_service.contracts.csv_rows import csv_header, csv_lines
from payment_service.db import search as searches
from payment_service.http.list_queries import (
    AuditQuery,
    DisputesQuery,
    ListPages,
    ListQuery,
    PaymentsQuery,
    RefundsQuery,
)
from payment_service.http.paging import PAGE_MAX
from payment_service.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from payment_service.contracts.api import Page, SearchResult
    from payment_service.db.pool import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    """A list: its filters, its entries, how to read a page, and the columns that a terminal shows."""

    query: type[ListQuery]
    model: type[BaseModel]
    page: Callable[[ListPages, Any], Awaitable[Page[Any]]]
    columns: tuple[str, ...]


LISTS: Final[Mapping[str, List]] = {
    "payments": List(
        query=PaymentsQuery,
        model=Payment,
        page=ListPages.payments,
        columns=("created_at", "order_id", "id", "status", "amount", "currency", "amount_refunded", "user_id"),
    ),
    "refunds": List(
        query=RefundsQuery,
        model=Refund,
        page=ListPages.refunds,
        columns=("created_at", "order_id", "id", "status", "amount", "currency", "reason", "bank_reference"),
    ),
    "disputes": List(
        query=DisputesQuery,
        model=Dispute,
        page=ListPages.disputes,
        columns=("evidence_due_by", "order_id", "provider_dispute_id", "status", "amount", "currency", "reason"),
    ),
    "audit": List(
        query=AuditQuery,
        model=AuditEntry,
        page=ListPages.audit,
        columns=("at", "client", "address", "action", "payment_id", "why"),
    ),
}


# The options of filters with another name.
_OPTIONS: Final[Mapping[object, str]] = {
    "order_id": "--order",
    "user_id": "--user",
    "payment_id": "--payment",
    "client": "--by",
}


def show_list(name: str, given: Mapping[str, object], *, as_json: bool, as_csv: bool) -> None:
    """Print a page of a list, or all of it as CSV. `given`: the filters and the paging, None for those that are not."""
    found = LISTS[name]
    if as_csv:
        session.run(lambda pool: _print_csv(pool, found, given))
        return
    page = session.run(lambda pool: _page(pool, found, _query(found, given)))
    if as_json:
        output.print_json(page)
        return
    output.print_table("", found.columns, ([getattr(entry, column) for column in found.columns] for entry in page.data))
    if not page.data:
        output.print_note(f"No {name} match.")
    if page.next_cursor is not None:
        output.print_note(f"More: the same command with --cursor {page.next_cursor}, or all as --csv.")


def search(text: str, *, as_json: bool) -> None:
    """Print the payments that a text names."""
    result: SearchResult = session.run(lambda pool: searches.search(pool, text))
    if as_json:
        output.print_json(result)
        return
    columns = ("matched", "order_id", "id", "status", "amount", "currency", "method", "created_at")
    output.print_table("", columns, [_hit(hit.matched, hit.payment) for hit in result.data])
    if not result.data:
        output.print_note(
            "Nothing matches. Search for a whole order, id or reference, or for a card and its amount: '4242 19.90'."
        )
    if result.has_more:
        output.print_note(
            f"Only the first {searches.HITS_MAX} are shown: search for more of the text, or list payments."
        )


def _hit(matched: str, payment: Payment) -> list[object]:
    method = payment.payment_method.in_words() if payment.payment_method else None
    return [
        matched,
        payment.order_id,
        payment.id,
        payment.status,
        payment.amount,
        payment.currency,
        method,
        payment.created_at,
    ]


def read_times(since: str, until: str) -> dict[str, str | None]:
    """Return the times of `--since` and `--until` as filters. Raises ConfigError."""
    now = datetime.now(UTC)
    times = {"created_from": (since, "--since"), "created_to": (until, "--until")}
    return {
        name: session.read_time(text, now, option=option).isoformat() if text else None
        for name, (text, option) in times.items()
    }


def _query(found: List, given: Mapping[str, object]) -> ListQuery:
    try:
        return found.query.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "".join(f"{_OPTIONS.get(part, f'--{part}')} " for part in first["loc"][:1])
        raise ConfigError(f"{where}{validation_message(first)}.") from None


async def _page(pool: Pool, found: List, query: ListQuery) -> Page[Any]:
    try:
        return await found.page(ListPages(pool), query)
    except Problem as problem:
        raise ConfigError(problem.detail) from None


async def _print_csv(pool: Pool, found: List, given: Mapping[str, object]) -> None:
    sys.stdout.write(csv_header(found.model))
    async for page in _pages(pool, found, _query(found, given)):
        sys.stdout.writelines(csv_lines(page.data))


async def _pages(pool: Pool, found: List, query: ListQuery) -> AsyncIterator[Page[Any]]:
    """Read all pages from the cursor on."""
    query = query.model_copy(update={"limit": PAGE_MAX})
    while True:
        page = await _page(pool, found, query)
        yield page
        if page.next_cursor is None:
            return
        query = query.model_copy(update={"cursor": page.next_cursor})
