"""Money by transfer: what a statement or an operator tells is decided in the ledger, and applied as any provider's event is.

A transaction of the bank, what the ledger makes of it, its event, the payment and its records are one transaction here: a file
that is imported again, by whoever and after whatever, changes nothing. Locks: the bank's transaction, the intent, then as
everywhere events and payments. A cancel takes the intent's lock alone, so money and cancellation end in exactly one of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from payment_service.bank_transfer import events, ledger
from payment_service.bank_transfer.references import find_references
from payment_service.crash_points import reached
from payment_service.db import audit
from payment_service.domain import card_numbers
from payment_service.domain.payment import Status
from payment_service.domain.refund import RefundStatus
from payment_service.flows.state.errors import Refusal, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.bank_transfer.events import Intent
    from payment_service.bank_transfer.statement import Transfer
    from payment_service.db.audit import Actor
    from payment_service.db.pool import Connection, Pool
    from payment_service.flows.webhooks.apply import Webhooks


class Became(StrEnum):
    """What became of a transfer."""

    PAID = "paid"  # its payment is paid
    PARKED = "parked"  # it names a payment and is not what that asked for: a person must look
    UNMATCHED = "unmatched"  # it bears no reference of ours
    KNOWN = "known"  # it was taken before
    CONTRADICTED = "contradicted"  # its transaction was taken before, with another amount or for another payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a transfer, whose payment it is, and why it was parked."""

    became: Became
    payment_id: UUID | None = None
    reference: str | None = None
    reason: str = ""


class Transfers:
    """Takes transfers to one account (its IBAN)."""

    def __init__(self, *, pool: Pool, webhooks: Webhooks, account: str) -> None:
        self._pool = pool
        self._webhooks = webhooks
        self._account = account

    async def take(self, transfer: Transfer, actor: Actor) -> Taken:
        """Take one transfer. Raises TRANSIENT_ERRORS when nothing is known to be done: take it again."""
        async with self._pool.acquire() as connection, connection.transaction():
            masked = card_numbers.mask(transfer.text)
            known = not await ledger.claim_transfer(connection, self._account, transfer, masked)
            before = await ledger.lock_transfer(connection, self._account, transfer.transaction_id) if known else None
            named = await _lock_named(connection, transfer)
            if before is not None and (taken := _compare(before, transfer, named)) is not None:
                return taken
            intent, reason = _match(named, transfer)
            event = events.transfer_event(transfer, self._account, intent, reason, was_nobodys=known)
            if event.event_type == events.MATCHED and intent is not None:
                await ledger.pay_intent(connection, intent, transfer)
            await ledger.note_outcome(connection, self._account, transfer, event.event_type, intent)
            stored = await self._webhooks.store_within(connection, [(event, _teller(actor))], alone=True)
            detail = {
                "transaction_id": transfer.transaction_id,
                "amount": str(transfer.amount),
                "event": event.event_type,
            }
            await audit.append(connection, actor, "bank.transfer", payment_id=event.payment_id, detail=detail)
            reached("transfer.commit.before")
        reached("transfer.commit.after")
        self._webhooks.note(stored)
        # What the ledger took may still not fit the payment: a database that was restored, say.
        reason = reason or next((result.parked_reason for result in stored.results if result.parked_reason), "")
        became = Became.UNMATCHED if intent is None else Became.PARKED if reason else Became.PAID
        return Taken(became=became, payment_id=event.payment_id, reference=event.intent_id, reason=reason)

    async def end_refund(self, refund_id: UUID, actor: Actor, *, failure: str = "") -> None:
        """Note that a transfer back was made, or failed (`failure`: why). Telling it again is nothing. Raises Refusal."""
        status = RefundStatus.FAILED if failure else RefundStatus.SUCCEEDED
        async with self._pool.acquire() as connection, connection.transaction():
            before = await ledger.refund(connection, refund_id, lock=True)
            if before is None:
                raise Refusal(
                    RefusalReason.NOT_FOUND,
                    "The ledger has no refund of this id: it may be a moment old, or of another provider.",
                )
            if before.status is status:
                return
            if before.status is RefundStatus.FAILED:
                raise Refusal(RefusalReason.NOT_ALLOWED, "This refund has failed, which is final: ask for another one.")
            ended = await ledger.end_refund(connection, refund_id, status, failure)
            event = events.refund_event(ended)
            stored = await self._webhooks.store_within(connection, [(event, _teller(actor))], alone=True)
            detail = {"refund_id": str(refund_id), "status": status.value, "failure": failure}
            await audit.append(connection, actor, "bank.refund", payment_id=ended.payment_id, detail=detail)
            reached("transfer.commit.before")
        reached("transfer.commit.after")
        self._webhooks.note(stored)


def _compare(before: ledger.Noted, transfer: Transfer, named: Sequence[Intent]) -> Taken | None:
    """Say what a transfer is whose transaction is known; None: it was nobody's, and now it is told whose."""
    if before.amount != transfer.amount:
        return Taken(became=Became.CONTRADICTED, reason="its transaction was taken before, with another amount")
    if not named or before.reference in {intent.reference for intent in named}:
        return Taken(became=Became.KNOWN, reference=before.reference)
    if before.reference is None:
        return None
    return Taken(became=Became.CONTRADICTED, reason="its transaction was taken before, for another payment")


async def _lock_named(connection: Connection, transfer: Transfer) -> list[Intent]:
    """Lock the intents that a transfer names."""
    named = [await ledger.intent(connection, one, lock=True) for one in sorted(find_references(transfer.text))]
    return [intent for intent in named if intent is not None]


def _match(named: Sequence[Intent], transfer: Transfer) -> tuple[Intent | None, str]:
    """Give the intent that a transfer is for, and say why it is not what that asked for; empty: it is."""
    if not named:
        return None, ""
    return named[0], "it names several payments" if len(named) > 1 else _mismatch(named[0], transfer)


def _mismatch(intent: Intent, transfer: Transfer) -> str:
    if intent.status is Status.SUCCEEDED:
        return "it had been paid before"
    if intent.status is Status.CANCELED:
        return "it had been canceled"
    if transfer.amount.currency != intent.amount.currency:
        return "it is in another currency"
    if transfer.amount.minor != intent.amount.minor:
        return "it is too little" if transfer.amount.minor < intent.amount.minor else "it is too much"
    return ""


def _teller(actor: Actor) -> str:
    """Whose word an event stands on, where others have a signature."""
    return f"operator:{actor.name}"
