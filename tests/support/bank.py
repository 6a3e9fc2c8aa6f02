"""Run the bank-transfer provider in the test's process: a real database, no Stripe, and a bank that the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from payment_service.bank_transfer.provider import BankTransfer
from payment_service.bank_transfer.references import reference_of
from payment_service.bank_transfer.settings import BankTransferSettings
from payment_service.bank_transfer.statement import Transfer, read_transfer
from payment_service.bank_transfer.transfers import TransferResult, Transfers
from payment_service.db.audit import Actor
from payment_service.db.pool import Pool
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.requests.refund import Refunds, RefundTerms
from payment_service.flows.state.context import Context
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.plugins import ProviderContext
from payment_service.provider.providers import Providers
from tests.support.flows import Flows, name_of, open_flows

IBAN = "DE89370400440532013000"
CLERK = Actor(client="cli:clerk")
SETTINGS = BankTransferSettings(bank_transfer_iban=IBAN, bank_transfer_holder="Shop Ltd")


class Bank(SimpleNamespace):
    """The harness of tests of bank transfers."""

    flows: Flows
    pool: Pool
    provider: BankTransfer
    webhooks: Webhooks
    transfers: Transfers
    dispatcher: Dispatcher
    context: Context

    async def create_payments(self, *order_ids: str) -> None:
        """Accept orders of 19.90 eur and wait until their intents exist."""
        await self.flows.accept(*order_ids)
        await self.flows.run_calls()

    async def take(
        self, text: str, amount: str = "19.90", transaction_id: str = "t-1", currency: str = "EUR"
    ) -> TransferResult:
        """Import a transfer."""
        return await self.transfers.take(transfer(text, amount, transaction_id, currency), CLERK)

    async def events(self) -> list[tuple[str, str, str | None]]:
        """Return the type, result and parked reason of each stored event."""
        rows = await self.pool.fetch(
            "SELECT event_type, result, parked_reason FROM payment_events ORDER BY created_at, provider_event_id"
        )
        return [(row["event_type"], row["result"], row["parked_reason"]) for row in rows]

    async def status(self, order_id: str) -> str:
        """Return the status of an order's payment."""
        return str((await self.flows.payment(order_id))["status"])

    async def published(self, order_id: str) -> list[str]:
        """Return the topics of the events published for an order's payment, in order."""
        rows = await self.pool.fetch(
            "SELECT type FROM outbox WHERE aggregateid = $1 ORDER BY sequence", name_of(order_id)
        )
        return [row["type"].removeprefix("payments.") for row in rows]


async def refund(bank: Bank, order_id: str, amount: str | None = None, key: str = "r-1") -> UUID:
    """Request a refund and return its id once the ledger has it."""
    change_request = ChangeRequest(
        actor=Actor(client="shop"),
        key=key,
        action="refund",
        payment_id=name_of(order_id),
        parameters={"amount": amount},
    )
    await Refunds(bank.context).request(
        name_of(order_id), RefundTerms(amount=amount, reason="", metadata={}), change_request
    )
    await bank.flows.run_calls()
    refund_id: UUID = await bank.pool.fetchval("SELECT id FROM refunds WHERE idempotency_key = $1", key)
    return refund_id


def transfer(text: str, amount: str = "19.90", transaction_id: str = "t-1", currency: str = "EUR") -> Transfer:
    """Build a transfer that was booked today."""
    today = date.today()  # noqa: DTZ011 - a booking has a day and no clock
    row = {"booking_date": today.isoformat(), "amount": amount, "currency": currency, "reference": text}
    return read_transfer({**row, "transaction_id": transaction_id}, today=today)


def reference(order_id: str) -> str:
    """Return the reference of an order's payment."""
    return reference_of(name_of(order_id))


def context_of(flows: Flows) -> ProviderContext:
    """Build the context that the service gives a provider."""
    return ProviderContext(
        deployment="default",
        now_s=lambda: flows.clock.now().timestamp(),
        timeout_s=flows.config.provider_timeout_s,
        concurrency=flows.config.provider_concurrency,
        pool=flows.pool,
    )


@asynccontextmanager
async def open_bank(dsn: str, **changes: Any) -> AsyncIterator[Bank]:
    """Open a bank harness and close it afterwards."""
    async with open_flows(dsn, "http://127.0.0.1:9", **changes) as flows:
        provider = BankTransfer(SETTINGS, context_of(flows))
        flows.use(Providers({"bank_transfer": provider, "stripe": flows.provider}))
        dispatcher = flows.dispatcher(name="bank_transfer")
        webhooks = Webhooks(flows.context())
        await dispatcher.start()
        webhooks.start()
        try:
            yield Bank(
                flows=flows,
                pool=flows.pool,
                provider=provider,
                webhooks=webhooks,
                transfers=Transfers(pool=flows.pool, webhooks=webhooks, account=IBAN),
                dispatcher=dispatcher,
                context=flows.context(wake_dispatcher=dispatcher.wake),
            )
        finally:
            await webhooks.stop()
            await dispatcher.stop(5)
