"""Apply bank transfers. The ledger decides about a statement or an operator's entry; its event is applied like any
other.

The bank's transaction, the ledger entry, its event, the payment and its records are one transaction here, so a repeated
import changes nothing.

Lock order: the bank's transaction, the intent, then events and payments as everywhere. A cancel locks the intent alone.
Therefore exactly one of a payment and a concurrent cancel wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payment_service.bank_transfer import events, ledger
from payment_service.bank_transfer.references import find_references
from payment_service.crash_points import reached
from payment_service.db import audit
from payment_service.domain.guard import clean
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


# Published as the code of payments.refund_failed, beside other providers' codes.
_FAILURE: Final = re.compile(r"[a-z0-9_]{1,100}")

_PAID_BEFORE: Final = "it had been paid before"


def is_failure_code(text: str) -> bool:
    """Return whether the text may be stored as the reason of a refund that failed: one word without a card number."""
    return _FAILURE.fullmatch(text) is not None and clean(text) == text


class TransferOutcome(StrEnum):
    """The outcome of a transfer."""

    PAID = "paid"  # its payment is paid
    PARKED = "parked"  # it names a payment but does not match it: an operator must look
    UNMATCHED = "unmatched"  # it carries no reference of ours
    KNOWN = "known"  # it was recorded before
    CONTRADICTED = "contradicted"  # it was recorded before, with another amount or for another payment


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferResult:
    """The outcome of a transfer, its payment, and the reason if it was parked."""

    outcome: TransferOutcome
    payment_id: UUID | None = None
    reference: str | None = None
    reason: str = ""


class Transfers:
    """Record transfers to one account (its IBAN)."""

    def __init__(self, *, pool: Pool, webhooks: Webhooks, account: str) -> None:
        self._pool = pool
        self._webhooks = webhooks
        self._account = account

    async def take(self, transfer: Transfer, actor: Actor) -> TransferResult:
        """Record one transfer. Raise TRANSIENT_ERRORS when the outcome is unknown: record it again then."""
        async with self._pool.acquire() as connection, connection.transaction():
            known = not await ledger.claim_transfer(connection, self._account, transfer)
            before = await ledger.lock_transfer(connection, self._account, transfer.transaction_id) if known else None
            named = await _find_named(connection, transfer, lock=True)
            if before is not None and (result := _compare(before, transfer, named)) is not None:
                return result
            intent, reason = _match(named, transfer)
            event = events.transfer_event(transfer, self._account, intent, reason, was_unmatched=known)
            if event.event_type == events.MATCHED and intent is not None:
                await ledger.pay_intent(connection, intent, transfer)
            await ledger.record_outcome(connection, self._account, transfer, event.event_type, intent)
            stored = await self._webhooks.store_within(connection, [(event, _verified_by(actor))], alone=True)
            detail = {
                "transaction_id": transfer.transaction_id,
                "amount": str(transfer.amount),
                "event": event.event_type,
            }
            await audit.append(connection, actor, "bank.transfer", payment_id=event.payment_id, detail=detail)
            reached("transfer.commit.before")
        reached("transfer.commit.after")
        self._webhooks.after_commit(stored)
        # The payment may still reject a transfer that the ledger accepted, for example after a restore.
        reason = reason or next((result.parked_reason for result in stored.results if result.parked_reason), "")
        return TransferResult(
            outcome=_outcome(intent, reason),
            payment_id=event.payment_id,
            reference=event.intent_id,
            reason=reason,
        )

    async def end_refund(self, refund_id: UUID, actor: Actor, *, failure: str = "") -> None:
        """Record that a refund transfer was made, or that it failed (`failure`: the reason). Repeating it has no
        effect.

        Raise Refusal if the refund is unknown or has another final status.
        """
        status = RefundStatus.FAILED if failure else RefundStatus.SUCCEEDED
        async with self._pool.acquire() as connection, connection.transaction():
            before = await ledger.refund(connection, refund_id, lock=True)
            if before is None:
                raise Refusal(
                    RefusalReason.NOT_FOUND,
                    "The ledger has no refund with this id: it may be too recent, or belong to another provider. Check the id, or retry.",
                )
            if before.status is status:
                return
            if before.status is RefundStatus.FAILED:
                raise Refusal(RefusalReason.NOT_ALLOWED, "This refund has failed, which is final: request another one.")
            ended = await ledger.end_refund(connection, refund_id, status, failure)
            event = events.refund_event(ended)
            stored = await self._webhooks.store_within(connection, [(event, _verified_by(actor))], alone=True)
            detail = {"refund_id": str(refund_id), "status": status.value, "failure": failure}
            await audit.append(connection, actor, "bank.refund", payment_id=ended.payment_id, detail=detail)
            reached("transfer.commit.before")
        reached("transfer.commit.after")
        self._webhooks.after_commit(stored)


class Preview:
    """Say what `take` would do with the transfers of a statement, one after another, without locks and without a change."""

    def __init__(self, connection: Connection, account: str) -> None:
        self._connection = connection
        self._account = account
        self._before: dict[str, ledger.KnownTransfer] = {}
        self._paid: set[str] = set()

    async def take(self, transfer: Transfer) -> TransferResult:
        """Return the expected result of a transfer."""
        name = transfer.transaction_id
        before = self._before.get(name) or await ledger.transfer(self._connection, self._account, name)
        named = await _find_named(self._connection, transfer, lock=False)
        if before is not None and (result := _compare(before, transfer, named)) is not None:
            return result
        intent, reason = _match(named, transfer)
        if intent is not None and not reason and intent.reference in self._paid:
            reason = _PAID_BEFORE
        if intent is not None and not reason:
            self._paid.add(intent.reference)
        reference = intent.reference if intent else None
        self._before[name] = ledger.KnownTransfer(
            name, transfer.amount, "", reference, transfer.booked_on, transfer.text
        )
        return TransferResult(
            outcome=_outcome(intent, reason),
            payment_id=intent.payment_id if intent else None,
            reference=reference,
            reason=reason,
        )


def _outcome(intent: Intent | None, reason: str) -> TransferOutcome:
    if intent is None:
        return TransferOutcome.UNMATCHED
    return TransferOutcome.PARKED if reason else TransferOutcome.PAID


def _compare(before: ledger.KnownTransfer, transfer: Transfer, named: Sequence[Intent]) -> TransferResult | None:
    """Return the result for a known transaction, or None if it was unmatched and now names an intent."""
    if before.amount != transfer.amount:
        return TransferResult(
            outcome=TransferOutcome.CONTRADICTED, reason="its transaction was recorded before, with another amount"
        )
    if before.outcome == events.CLOSED or not named or before.reference in {intent.reference for intent in named}:
        return TransferResult(outcome=TransferOutcome.KNOWN, reference=before.reference)
    if before.reference is None:
        return None
    return TransferResult(
        outcome=TransferOutcome.CONTRADICTED, reason="its transaction was recorded before, for another payment"
    )


async def _find_named(connection: Connection, transfer: Transfer, *, lock: bool) -> list[Intent]:
    """Return the intents that a transfer names, in one order, so that two imports cannot deadlock."""
    named = [await ledger.intent(connection, one, lock=lock) for one in sorted(find_references(transfer.text))]
    return [intent for intent in named if intent is not None]


def _match(named: Sequence[Intent], transfer: Transfer) -> tuple[Intent | None, str]:
    """Return the intent of a transfer and the reason why it does not match, which is empty if it does."""
    if not named:
        return None, ""
    return named[0], "it names several payments" if len(named) > 1 else _mismatch(named[0], transfer)


def _mismatch(intent: Intent, transfer: Transfer) -> str:
    if intent.status is Status.SUCCEEDED:
        return _PAID_BEFORE
    if intent.status is Status.CANCELED:
        return "it had been canceled"
    if transfer.amount.currency != intent.amount.currency:
        return "it is in another currency"
    if transfer.amount.minor != intent.amount.minor:
        return "it is too little" if transfer.amount.minor < intent.amount.minor else "it is too much"
    return ""


def _verified_by(actor: Actor) -> str:
    """Return the verifier of an event. An operator stands in for the signature of other providers."""
    return f"operator:{actor.name}"
