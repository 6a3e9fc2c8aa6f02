"""`show`: all data of a payment, or of the payments of an order."""

from __future__ import annotations

import webbrowser
from typing import TYPE_CHECKING, Final

from payment_service.commands import output, session
from payment_service.commands.settings import CommandSettings
from payment_service.contracts.api import Dispute, Payment, PaymentAttempt, Refund
from payment_service.contracts.operators import Case, Cases
from payment_service.db import installation as installations
from payment_service.db import payment_attempts, payment_reads, refund_reads
from payment_service.db.keyset import BEGINNING
from payment_service.db.payment_reads import Filters
from payment_service.db.timeline import timeline
from payment_service.domain.ids import as_uuid
from payment_service.domain.payment import Status
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.plugins import payment_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from pydantic import BaseModel

    from payment_service.contracts.timeline import TimelineEntry
    from payment_service.db.pool import Connection, Pool

# An order gets another payment only after the previous one ended unpaid.
_PAYMENTS_MAX: Final = 100
# The newest; the API returns the rest.
_CHILDREN_MAX: Final = 1_000
# Timeline entries per query.
_PAGE: Final = 500
_UNPAID_ENDS: Final = frozenset({Status.CANCELED.value, Status.FAILED.value})


def open_page(name: str, *, browser: bool) -> None:
    """Print the address of the provider's page about a payment, and open it in a browser. Raises Refusal."""
    settings = CommandSettings.from_environment()

    async def work(pool: Pool) -> str:
        payment = current(await payments_named(pool, name))
        found = await installations.read(pool)
        livemode = found is not None and found.livemode is True
        page = payment_page(payment.provider, payment.provider_payment_id, settings, livemode=livemode)
        if page is None:
            message = f"{payment.provider} has no page about payment {payment.id}, which is {payment.status}."
            raise Refusal(RefusalReason.NOT_FOUND, message)
        return page.url

    page = session.run(work, settings)
    output.print_line(page)
    if browser and not webbrowser.open(page):
        output.print_note("No browser could be started: open the address yourself.")


def current(payments: Sequence[Payment]) -> Payment:
    """Return the payment of an order that did not end unpaid, else the newest. `payments`: the oldest first."""
    return next((payment for payment in payments if payment.status not in _UNPAID_ENDS), payments[-1])


def show(name: str, *, as_json: bool) -> None:
    """Show a payment by its id, or an order's payments by the order's id."""
    cases = session.run(lambda pool: find(pool, name))
    if as_json:
        output.print_json(cases)
        return
    for case in cases.data:
        _show(case)


async def find(pool: Pool, name: str) -> Cases:
    """Find a payment or an order's payments. Raises Refusal."""
    payments = await payments_named(pool, name)
    return Cases(data=[await _case(pool, payment.id) for payment in payments])


async def payments_named(pool: Pool, name: str) -> list[Payment]:
    """Return the payment with this id, else the payments of this order, oldest first. Raises Refusal."""
    rows = []
    if (payment_id := as_uuid(name)) is not None and (row := await payment_reads.payment(pool, payment_id)) is not None:
        rows = [row]
    elif "\0" not in name:
        rows = (await payment_reads.payments(pool, Filters(order_id=name), limit=_PAYMENTS_MAX))[::-1]
    if not rows:
        raise Refusal(
            RefusalReason.NOT_FOUND,
            f"No payment and no order with a payment has the id {output.plain(name)!r}: check the id.",
        )
    return [Payment(**row) for row in rows]


async def _case(pool: Pool, payment_id: UUID) -> Case:
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        refunds = await refund_reads.refunds(connection, payment_id, after=None, limit=_CHILDREN_MAX)
        disputes = await refund_reads.disputes(connection, payment_id, after=None, limit=_CHILDREN_MAX)
        return Case(
            payment=Payment.model_validate(await payment_reads.payment(connection, payment_id)),
            attempts=[PaymentAttempt(**row) for row in await payment_attempts.of_payment(connection, payment_id)],
            refunds=[Refund(**row) for row in refunds],
            disputes=[Dispute(**row) for row in disputes],
            timeline=await _timeline(connection, payment_id),
        )


async def _timeline(connection: Connection, payment_id: UUID) -> list[TimelineEntry]:
    entries: list[TimelineEntry] = []
    after = BEGINNING
    while page := await timeline(connection, payment_id, after=after, limit=_PAGE):
        entries += [entry for _, entry in page]
        after = page[-1][0]
    return entries


def _show(case: Case) -> None:
    output.print_fields(case.payment, *Payment.model_fields)
    attempts = ("occurred_at", "status", "payment_method", "decline_code", "decline_reason", "provider_charge_id")
    _list("Attempts to pay", case.attempts, *attempts)
    _list("Refunds", case.refunds, "id", "status", "amount", "currency", "reason", "failure_code", "provider_refund_id")
    traced = [refund for refund in case.refunds if refund.bank_reference or refund.expected_at]
    _list("Refunds at the bank", traced, "id", "bank_reference", "expected_at")
    _list("Disputes", case.disputes, "status", "amount", "currency", "reason", "evidence_due_by", "provider_dispute_id")
    _list("Timeline", case.timeline, "at", "kind", "text", wrapped="text")


def _list(title: str, models: Sequence[BaseModel], *fields: str, wrapped: str = "") -> None:
    rows = ([getattr(model, name) for name in fields] for model in models)
    output.print_table(f"\n{title}", fields, rows, wrapped=wrapped)
