"""Retry or resolve items that need attention, on behalf of an operator.

A retry never moves money twice. It reads the state at the provider first, and sends an undone create, capture or cancel
under the next epoch of its key. A refund that two reads did not find is parked again. If the provider refused its only
attempt, nothing was done and it is sent again.

An operator's claim about a refund, or that a call happened, is checked against the provider first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from payment_service.db import attention, differences, payment_reads, payments, quarantine
from payment_service.domain.facts_without_intent import RefusedFact
from payment_service.domain.ids import as_uuid
from payment_service.domain.payment import Applied, Parked
from payment_service.domain.refund import RefundListFact, RefundRefused, RefundsChanged
from payment_service.flows.operators.provider_lookup import check_against_intent, check_against_refunds, read_provider
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.state.system_operations import read_after, read_own_intent
from payment_service.provider.attention import AttentionRefused
from payment_service.provider.plugins import attention_sources
from payment_service.provider.port import OWN_INTENT, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from payment_service.db.attention import ParkedOperation
    from payment_service.db.pool import Connection
    from payment_service.domain.facts import AnyFact
    from payment_service.domain.payment import Payment
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold

# The code of a result that an operator claimed, stored and published.
RESOLVED: Final = "resolved_by_person"
PROVIDER_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundItem:
    """An item that needs attention, or did. `what`: operation, event, record, quarantine, or a kind of a provider's own items.

    `owner`: the provider of an operation or event, the owner that a provider gave its item, otherwise `what`. `payment_id` is
    None if unknown. `kind`: of an operation.
    """

    what: str
    name: str
    payment_id: UUID | None
    owner: str
    kind: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorClaim:
    """An operator's claim: the call happened at the provider under this id, it never happened, or the item is closed.

    Events and the items of providers are closed. A `note` says how the operator found out.
    """

    what: Literal["happened", "never", "close"]
    provider_id: str
    note: str


class AttentionItems:
    """Find, retry and resolve items that need attention. `replay_quarantine.py` retries those in quarantine."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self, name: str) -> FoundItem:
        """Find an item by its id. Records have their payment's id. Qualify an ambiguous id as OWNER:ID, for example `stripe:evt_…`.

        Raise Refusal if nothing has this id, or if several items have it.
        """
        if "\0" in name:
            raise _unknown()
        owner, colon, own_name = name.partition(":")
        found = await self._find_all(name)
        if colon and not found:
            found = [item for item in await self._find_all(own_name) if item.owner == owner]
        if len(found) > 1:
            choice = ", ".join(f"{item.owner}:{item.name}" for item in found)
            raise Refusal(RefusalReason.INVALID, f"Several items have this id: use one of {choice}.")
        if not found:
            raise _unknown()
        return found[0]

    async def _find_all(self, name: str) -> list[FoundItem]:
        async with self._context.pool.acquire() as connection:
            items = [] if (as_id := as_uuid(name)) is None else await _find_by_uuid(connection, as_id)
            code, _, subject = name.partition(":")
            if (about := await differences.find_open(connection, code, subject)) is not None:
                items.append(FoundItem(what="difference", name=name, payment_id=about[0], owner="difference"))
            for row in await attention.find_events(connection, name, self._context.providers.by_name.keys()):
                items.append(FoundItem(what="event", name=name, payment_id=row["payment_id"], owner=row["owner"]))
            for what, source in attention_sources().items():
                items += [
                    FoundItem(what=what, name=name, payment_id=item.payment_id, owner=item.owner)
                    for item in await source.find(connection, name)
                ]
        return items

    async def retry(self, item: FoundItem, change_request: ChangeRequest) -> ChangeResult:
        """Retry an item that is not in quarantine. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            match item.what:
                case "operation":
                    return _answer(item, await self._retry_operation(connection, item))
                case "event":
                    done = await attention.retry_event(connection, item.name, item.owner)
                case "difference":
                    message = (
                        "Reconciliation looks at it again: run `payment-service reconcile`, or wait for the next run."
                    )
                    raise Refusal(RefusalReason.NOT_ALLOWED, message)
                case "record":
                    done = await attention.release_aggregate(connection, UUID(item.name))
                case _:
                    done = await _change(attention_sources()[item.what].retry, connection, item)
            if not done:
                raise _not_open()
            return _answer(item, "tried_again")

        return await change_once(self._context.pool, change_request, work)

    async def resolve(self, item: FoundItem, claim: OperatorClaim, change_request: ChangeRequest) -> ChangeResult:
        """Resolve an item by an operator's claim. Raise Refusal."""
        if item.what == "record":
            raise Refusal(
                RefusalReason.NOT_ALLOWED, "A record cannot be skipped: raise the limit that rejects it, then retry."
            )
        closes = {"event": attention.close_event, "quarantine": _close_quarantined, "difference": _close_difference}
        close = (closes | {what: source.close for what, source in attention_sources().items()}).get(item.what)
        if (close is not None) != (claim.what == "close"):
            message = "Use --happened or --never for an operation, and --close for everything else."
            raise Refusal(RefusalReason.INVALID, message)
        lookup = await self._look_up(item) if needs_provider_check(item, claim) else None

        async def work(connection: Connection) -> ChangeResult:
            if close is not None:
                if not await _change(close, connection, item):
                    raise _not_open()
                return _answer(item, "closed")
            payment, operation = await self._lock(connection, item)
            fold = self._context.fold({payment.id: payment})
            await fold.load(connection, [payment.id])
            await self._apply_claim(connection, fold, payment, operation, claim, lookup)
            await fold.write(connection)
            await attention.resolve_operation(
                connection, operation.id, "done" if claim.what == "happened" else "refused", claim.note
            )
            return _answer(item, "happened" if claim.what == "happened" else "never_happened")

        return await change_once(self._context.pool, change_request, work)

    async def _lock(self, connection: Connection, item: FoundItem) -> tuple[Payment, ParkedOperation]:
        payment = await payments.lock_one(connection, item.payment_id) if item.payment_id else None
        operation = await attention.lock_operation(connection, UUID(item.name))
        if payment is None or operation is None:
            raise _not_open()
        return payment, operation

    async def _retry_operation(self, connection: Connection, item: FoundItem) -> str:
        _, operation = await self._lock(connection, item)
        if operation.kind is Kind.CREATE and operation.code == "another_object":
            message = "The provider returned an object of another payment: check it at the provider, then resolve this operation."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        if is_definite(operation):
            await attention.retry_in_next_epoch(connection, operation.id)
            return "sent_anew"
        await attention.retry_with_read(connection, operation.id)
        return "read_first"

    async def _look_up(self, item: FoundItem) -> AnyFact | None:
        """Read the state at the provider without holding locks. Return None if the item is no longer parked. Raise
        Refusal.
        """
        try:
            async with self._context.pool.acquire() as connection, connection.transaction():
                payment, operation = await self._lock(connection, item)
        except Refusal:
            return None
        return await read_provider(self._context, payment, operation)

    async def _apply_claim(
        self,
        connection: Connection,
        fold: Fold,
        payment: Payment,
        operation: ParkedOperation,
        claim: OperatorClaim,
        lookup: AnyFact | None,
    ) -> None:
        happened = claim.what == "happened"
        match operation.kind:
            case Kind.REFUND:
                await self._apply_refund_claim(connection, fold, payment, operation, claim, lookup)
            case Kind.CREATE if happened:
                message = "Retry it instead: the service looks for the intent with the payment's id and uses it."
                raise Refusal(RefusalReason.NOT_ALLOWED, message)
            case Kind.CREATE:
                reason = "The payment could not be created at the provider."
                fact = RefusedFact(code=RESOLVED, reason=reason, at=self._now(), source=f"resolved:{operation.id}")
                if not isinstance(fold.take(payment.id, fact), Applied):
                    raise Refusal(
                        RefusalReason.NOT_ALLOWED, "An intent exists, so the call happened: retry it instead."
                    )
            case Kind.CAPTURE | Kind.CANCEL if happened:
                _take(fold, payment, check_against_intent(operation, claim.provider_id, lookup))
            case Kind.CAPTURE | Kind.CANCEL:
                # Only the provider's state ends a payment, whatever an operator claims.
                self._read(fold, payment, operation)
            case Kind.RETRIEVE if happened:
                raise Refusal(
                    RefusalReason.NOT_ALLOWED,
                    "It only reads: retry it, or use --never if it is not needed any more.",
                )
            case Kind.RETRIEVE:
                pass

    def _read(self, fold: Fold, payment: Payment, operation: ParkedOperation) -> None:
        cause = f"resolved:{operation.id}"
        if OWN_INTENT in operation.request.path:
            read = read_own_intent(payment, cause, self._context.providers)
        else:
            read = read_after(payment, operation.request, cause, self._context.providers)
        if read is not None:
            fold.enqueue(read)

    async def _apply_refund_claim(
        self,
        connection: Connection,
        fold: Fold,
        payment: Payment,
        operation: ParkedOperation,
        claim: OperatorClaim,
        lookup: AnyFact | None,
    ) -> None:
        if not isinstance(lookup, RefundListFact):
            raise _not_open()
        if claim.what == "never":
            if (made := next((one for one in lookup.refunds if one.refund_id == operation.id), None)) is not None:
                message = f"The provider made this refund: use --happened {made.provider_refund_id}."
                raise Refusal(RefusalReason.NOT_ALLOWED, message)
            if not lookup.whole:
                message = "Not all refunds of this payment could be read, so nothing was changed: use --happened, or retry it."
                raise Refusal(RefusalReason.NOT_ALLOWED, message)
            if not isinstance(fold.take(payment.id, self._refused(operation)), RefundsChanged):
                raise Refusal(
                    RefusalReason.NOT_ALLOWED,
                    "The provider has reported this refund, so it happened: retry it instead.",
                )
            return
        known = await attention.refund_with_provider_id(connection, payment.provider, claim.provider_id)
        if known is not None and known["id"] != operation.id:
            message = f"{claim.provider_id} is already the refund {known['id']}: if it replaced this one, use --never."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        _take(fold, payment, check_against_refunds(fold.refund(payment.id, operation.id), claim.provider_id, lookup))

    def _refused(self, operation: ParkedOperation) -> AnyFact:
        reason = "An operator confirmed that the refund was never made."
        return RefundRefused(
            refund_id=operation.id, code=RESOLVED, reason=reason, at=self._now(), source=f"resolved:{operation.id}"
        )

    def _now(self) -> int:
        return int(self._context.now().timestamp())


def needs_provider_check(item: FoundItem, claim: OperatorClaim) -> bool:
    """Return whether to check a claim against the provider: every claim that is irreversible."""
    ends = {"happened": {Kind.REFUND, Kind.CAPTURE, Kind.CANCEL}, "never": {Kind.REFUND}}
    return item.kind in ends.get(claim.what, set())


async def _find_by_uuid(connection: Connection, name: UUID) -> list[FoundItem]:
    """Return the operation, the records of a payment and the row in quarantine with this id. A dead letter has its row's id."""
    items = []
    if (call := await attention.find_operation(connection, name)) is not None:
        operation = FoundItem(
            what="operation",
            name=str(name),
            payment_id=call["payment_id"],
            owner=call["provider"],
            kind=Kind(call["kind"]),
        )
        items.append(operation)
    if await attention.is_parked(connection, name):
        payment = name if await payment_reads.exists(connection, name) else None
        items.append(FoundItem(what="record", name=str(name), payment_id=payment, owner="record"))
    if await quarantine.find(connection, name) is not None:
        items.append(FoundItem(what="quarantine", name=str(name), payment_id=None, owner="quarantine"))
    return items


async def _close_quarantined(connection: Connection, name: str, _owner: str) -> bool:
    return await quarantine.close(connection, UUID(name))


async def _close_difference(connection: Connection, name: str, _owner: str) -> bool:
    code, _, subject = name.partition(":")
    return await differences.close(connection, code, subject)


async def _change(
    change: Callable[[Connection, str, str], Awaitable[bool]], connection: Connection, item: FoundItem
) -> bool:
    """Retry or close an item; False if it needs no attention any more. Raise Refusal as its provider says."""
    try:
        return await change(connection, item.name, item.owner)
    except AttentionRefused as refused:
        raise Refusal(RefusalReason.NOT_ALLOWED, str(refused)) from None


def _take(fold: Fold, payment: Payment, fact: AnyFact) -> None:
    """Fold a fact. Raise Refusal if it would be parked."""
    if isinstance(verdict := fold.take(payment.id, fact), Parked):
        raise Refusal(
            RefusalReason.NOT_ALLOWED,
            f"The provider's state contradicts the payment ({verdict.detail}), so nothing was changed: check both.",
        )


def is_definite(operation: ParkedOperation) -> bool:
    """Return whether nothing can exist under a refund's key: the provider refused its only attempt."""
    if operation.kind is not Kind.REFUND or not operation.answered_by or operation.resolving:
        return False
    read_back = operation.code == "another_object" or operation.code.startswith("malformed_")
    return operation.outcome == "unexpected" and operation.tries <= 1 and not read_back


def _unknown() -> Refusal:
    return Refusal(
        RefusalReason.NOT_FOUND, "Nothing that needs attention has this id: `attention list` shows the items."
    )


def _not_open() -> Refusal:
    return Refusal(RefusalReason.NOT_ALLOWED, "It needs no attention any more: `show` displays its state.")


def _answer(item: FoundItem, done: str) -> ChangeResult:
    body: Mapping[str, Any] = {
        "what": item.what,
        "id": item.name,
        "payment_id": str(item.payment_id) if item.payment_id else None,
        "done": done,
    }
    return ChangeResult(body)
