"""Bring a restored backup up to date with the provider and the topics, before the service starts.

Every step can be repeated: its rows have ids, and its facts are applied by the usual function. A dry run rolls each step back.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payment_service.db import budget, operations, payments, recovery
from payment_service.domain.payment import Parked
from payment_service.domain.unpaid import cancellation_reason
from payment_service.flows.calls.listing_windows import LISTING_MARGIN, limit_of, slices_of
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.state.system_operations import read_own_intent, read_refunds
from payment_service.provider.calls import list_intents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from payment_service.db.pool import Connection
    from payment_service.db.recovery import PublishedRecord
    from payment_service.domain.payment import IntentFact
    from payment_service.flows.state.context import Context
    from payment_service.provider.port import Provider

# Transactions of about 30 ms.
GROUP_MAX: Final = 100
PAGE_INTENTS: Final = 100
_ALL: Final = 1_000_000


@dataclass(slots=True)
class Recovered:
    """The result of a recovery: what was done, and what is `open` and needs attention."""

    records_recovered: int = 0
    records_already_published: int = 0
    records_skipped: int = 0
    operations_to_look_first: int = 0
    creates_withdrawn: int = 0
    intents_found: int = 0
    intents_applied: int = 0
    reads_enqueued: int = 0
    orders_to_read: int = 0
    open: list[str] = field(default_factory=list)


class Incomplete(Exception):
    """A step could not be completed, so the service must not start. The message says why; the recovery can be repeated."""


class _Undo(Exception):
    """Roll back a step of a dry run."""


class Recovery:
    """The steps of a recovery of a backup that was made at `restored_to`."""

    def __init__(self, context: Context, restored_to: datetime, *, rate_per_s: float, dry_run: bool) -> None:
        self._context = context
        self._restored_to = restored_to
        self._rate_per_s = rate_per_s
        self._dry_run = dry_run
        self.done = Recovered()

    async def require_stopped(self) -> None:
        """Raise Refusal while a process of the service uses this database."""
        if running := await recovery.running_processes(self._context.pool):
            message = (
                f"The service is running ({running} sessions and workers): stop every replica, then run this again."
            )
            raise Refusal(RefusalReason.NOT_YET, message)

    async def store(self, records: Sequence[PublishedRecord], *, skipped: int = 0) -> None:
        """Store what was published since the backup, so that no number is used twice. Count the `skipped` records."""
        async with self._step() as connection:
            lost, published = await recovery.insert_records(connection, records)
            self.done.records_recovered += lost
            self.done.records_already_published += published
        self.done.records_skipped += skipped

    async def write_records(self) -> None:
        """Write the stored records to the outbox and the history, as the lost database had them."""
        after: UUID | None = UUID(int=0)
        while after is not None:
            async with self._step() as connection:
                after = await recovery.write_records(connection, after, GROUP_MAX)

    async def look_first(self) -> None:
        """Make unfinished operations read at the provider before they send."""
        providers = self._context.providers.by_name.keys()
        limit = _ALL if self._dry_run else GROUP_MAX
        while True:
            async with self._step() as connection:
                changed = await recovery.look_first(connection, providers, limit)
                self.done.operations_to_look_first += changed
            if changed < limit:
                return

    async def withdraw_creates(self) -> None:
        """Withdraw the creates of payments whose end without money was published."""
        async with self._step() as connection:
            ids = await recovery.unsent_creates(connection)
            for name, code in (await recovery.canceled_before(connection, ids)).items():
                await operations.withdraw_create(connection, name, cancellation_reason(code))
                self.done.creates_withdrawn += 1

    async def read_intents(self) -> None:
        """Apply the intents that were created since the backup. Payments without a row follow with their orders."""
        now = await self._context.database_now(self._context.pool)
        for provider in self._context.providers.by_name.values():
            await operations.ensure_budget(self._context.pool, provider.name)
            for begin, end in slices_of(self._restored_to - LISTING_MARGIN, now + LISTING_MARGIN):
                limit = limit_of(begin, end, self._rate_per_s)
                created_from, created_to = int(begin.timestamp()), int(end.timestamp())
                await budget.spend(self._context.pool, provider.name)
                found = await list_intents(provider, created_from=created_from, created_to=created_to, limit=limit)
                if found is None:
                    self.done.open.append(
                        f"{provider.name} did not list the intents from {begin} to {end}: run this again"
                    )
                    continue
                for _ in range(len(found) // PAGE_INTENTS):
                    await budget.spend(self._context.pool, provider.name)
                self.done.intents_found += len(found)
                await self._apply(provider, found)

    async def enqueue_reads(self) -> None:
        """Enqueue a read of each payment that is open, or whose refunds were published since the backup."""
        after, providers = UUID(int=0), self._context.providers.by_name.keys()
        while True:
            async with self._step() as connection:
                ids = await recovery.open_payments(connection, after, providers, GROUP_MAX)
                await self._enqueue_reads(connection, ids)
            self.done.reads_enqueued += len(ids)
            if len(ids) < GROUP_MAX:
                return
            after = ids[-1]

    async def list_missing(self) -> None:
        """Count the payments that the orders will make again, and name those that they will not."""
        for missing in await recovery.missing_payments(self._context.pool):
            if missing.attempt == 1:
                self.done.orders_to_read += 1
                continue
            self.done.open.append(
                f"payment {missing.payment_id} (attempt {missing.attempt} of order {missing.order_id}) was opened on request and has no"
                " row: when the service runs, open it again (POST /v1/payments). It looks for the intent first, and takes its state"
            )

    async def _apply(self, provider: Provider, listed: Mapping[UUID, Sequence[IntentFact | None]]) -> None:
        found = await self._by_owner(provider, listed)
        names = sorted(found)
        for begin in range(0, len(names), GROUP_MAX):
            async with self._step() as connection:
                locked = await payments.lock_available(connection, names[begin : begin + GROUP_MAX])
                fold = self._context.fold(locked)
                for name in locked:
                    for fact in found[name]:
                        verdict = fold.take(name, fact) if fact is not None else None
                        if isinstance(verdict, Parked):
                            self.done.open.append(f"payment {name}: {verdict.detail}")
                        elif verdict is None:
                            self.done.open.append(f"payment {name}: {provider.name} has an intent that cannot be read")
                await fold.write(connection)
                self.done.intents_applied += len(locked)

    async def _by_owner(
        self, provider: Provider, listed: Mapping[UUID, Sequence[IntentFact | None]]
    ) -> Mapping[UUID, Sequence[IntentFact | None]]:
        """Move each intent that belongs to a payment from the payment that its metadata name to its owner."""
        intents = {(provider.name, fact.intent_id) for facts in listed.values() for fact in facts if fact is not None}
        async with self._context.pool.acquire() as connection:
            owners = await payments.of_intents(connection, intents) if intents else {}
        found: defaultdict[UUID, list[IntentFact | None]] = defaultdict(list)
        for name, facts in listed.items():
            for fact in facts:
                owner = owners.get((provider.name, fact.intent_id)) if fact is not None else None
                found[owner or name].append(fact)
        return found

    async def _enqueue_reads(self, connection: Connection, ids: Sequence[UUID]) -> None:
        locked = await payments.lock_available(connection, ids)
        fold = self._context.fold(locked)
        cause = f"recovery:{self._restored_to.isoformat()}"
        for payment in locked.values():
            read = read_refunds if payment.status.ended else read_own_intent
            if (operation := read(payment, cause, self._context.providers)) is not None:
                fold.enqueue(operation)
        await fold.write(connection)

    @asynccontextmanager
    async def _step(self) -> AsyncIterator[Connection]:
        """Open a transaction, which a dry run rolls back."""
        try:
            async with self._context.pool.acquire() as connection, connection.transaction():
                yield connection
                if self._dry_run:
                    raise _Undo
        except _Undo:
            pass
