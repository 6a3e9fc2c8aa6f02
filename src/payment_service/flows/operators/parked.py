"""Retry or resolve parked items on behalf of an operator.

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

from payment_service.db import parked, payment_reads, payments
from payment_service.domain.facts_without_intent import RefusedFact
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

    from payment_service.db.parked import ParkedOperation
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
class ParkedItem:
    """An item that is or was parked. `what`: operation, event, record, or a kind of a provider's own items.

    `payment_id` is None if unknown. `owner`: the provider of an operation or event, or the owner that a provider gave its
    item. `kind`: of an operation.
    """

    what: str
    name: str
    payment_id: UUID | None
    owner: str = ""
    kind: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorClaim:
    """An operator's claim: the call happened at the provider under this id, it never happened, or the item is closed.

    Events and the items of providers are closed. A `note` says how the operator found out.
    """

    what: Literal["happened", "never", "close"]
    provider_id: str
    note: str


class ParkedItems:
    """Find, retry and resolve parked items."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self, name: str, as_id: UUID | None) -> ParkedItem:
        """Find a parked item: an operation, records (by their payment's id), an event or an item of a provider.

        Qualify an ambiguous id with its owner, for example `stripe:evt_…`. Raise Refusal.
        """
        pool = self._context.pool
        if as_id is not None and (call := await parked.find_operation(pool, as_id)) is not None:
            return ParkedItem(
                what="operation",
                name=name,
                payment_id=call["payment_id"],
                owner=call["provider"],
                kind=Kind(call["kind"]),
            )
        if as_id is not None and await parked.is_parked(pool, as_id):
            payment = as_id if await payment_reads.exists(pool, as_id) else None
            return ParkedItem(what="record", name=name, payment_id=payment)
        if "\0" in name:
            raise _unknown()
        owner, _, own_name = name.partition(":")
        found = await self._find_by_external_id(name) or await self._find_by_external_id(own_name, owner)
        if found is None:
            raise _unknown()
        return found

    async def _find_by_external_id(self, name: str, owner: str = "") -> ParkedItem | None:
        """Find an event or an item of a provider by its external id. Raise Refusal if several have it."""
        async with self._context.pool.acquire() as connection:
            rows = await parked.find_events(connection, name, self._context.providers.by_name.keys())
            items = [
                ParkedItem(what="event", name=name, payment_id=row["payment_id"], owner=row["owner"]) for row in rows
            ]
            for what, source in attention_sources().items():
                items += [
                    ParkedItem(what=what, name=name, payment_id=item.payment_id, owner=item.owner)
                    for item in await source.find(connection, name)
                ]
        found = [item for item in items if owner in {"", item.owner}]
        if len(found) > 1:
            choice = ", ".join(f"{item.owner}:{name}" for item in found)
            raise Refusal(RefusalReason.INVALID, f"Several parked items have this id: use one of {choice}.")
        return found[0] if found else None

    async def retry(self, item: ParkedItem, change_request: ChangeRequest) -> ChangeResult:
        """Retry an item. Raise Refusal."""

        async def work(connection: Connection) -> ChangeResult:
            match item.what:
                case "operation":
                    return _answer(item, await self._retry_operation(connection, item))
                case "event":
                    done = await parked.retry_event(connection, item.name, item.owner)
                case "record":
                    done = await parked.release_aggregate(connection, UUID(item.name))
                case _:
                    done = await _change(attention_sources()[item.what].retry, connection, item)
            if not done:
                raise _not_parked()
            return _answer(item, "tried_again")

        return await change_once(self._context.pool, change_request, work)

    async def resolve(self, item: ParkedItem, claim: OperatorClaim, change_request: ChangeRequest) -> ChangeResult:
        """Resolve an item by an operator's claim. Raise Refusal."""
        if item.what == "record":
            raise Refusal(
                RefusalReason.NOT_ALLOWED, "A record cannot be skipped: raise the limit that rejects it, then retry."
            )
        closes = {"event": parked.close_event} | {what: source.close for what, source in attention_sources().items()}
        close = closes.get(item.what)
        if (close is not None) != (claim.what == "close"):
            message = "Use --close for an event or a provider's item, and --happened or --never for an operation."
            raise Refusal(RefusalReason.INVALID, message)
        lookup = await self._look_up(item) if needs_provider_check(item, claim) else None

        async def work(connection: Connection) -> ChangeResult:
            if close is not None:
                if not await _change(close, connection, item):
                    raise _not_parked()
                return _answer(item, "closed")
            payment, operation = await self._lock(connection, item)
            fold = self._context.fold({payment.id: payment})
            await fold.load(connection, [payment.id])
            await self._apply_claim(connection, fold, payment, operation, claim, lookup)
            await fold.write(connection)
            await parked.resolve_operation(
                connection, operation.id, "done" if claim.what == "happened" else "refused", claim.note
            )
            return _answer(item, "happened" if claim.what == "happened" else "never_happened")

        return await change_once(self._context.pool, change_request, work)

    async def _lock(self, connection: Connection, item: ParkedItem) -> tuple[Payment, ParkedOperation]:
        payment = await payments.lock_one(connection, item.payment_id) if item.payment_id else None
        operation = await parked.lock_operation(connection, UUID(item.name))
        if payment is None or operation is None:
            raise _not_parked()
        return payment, operation

    async def _retry_operation(self, connection: Connection, item: ParkedItem) -> str:
        _, operation = await self._lock(connection, item)
        if operation.kind is Kind.CREATE and operation.code == "another_object":
            message = "The provider returned an object of another payment: check it at the provider, then resolve this operation."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        if is_definite(operation):
            await parked.retry_in_next_epoch(connection, operation.id)
            return "sent_anew"
        await parked.retry_with_read(connection, operation.id)
        return "read_first"

    async def _look_up(self, item: ParkedItem) -> AnyFact | None:
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
            raise _not_parked()
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
        known = await parked.refund_with_provider_id(connection, payment.provider, claim.provider_id)
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


def needs_provider_check(item: ParkedItem, claim: OperatorClaim) -> bool:
    """Return whether to check a claim against the provider: every claim that is irreversible."""
    ends = {"happened": {Kind.REFUND, Kind.CAPTURE, Kind.CANCEL}, "never": {Kind.REFUND}}
    return item.kind in ends.get(claim.what, set())


async def _change(
    change: Callable[[Connection, str, str], Awaitable[bool]], connection: Connection, item: ParkedItem
) -> bool:
    """Retry or close an item; False if it is not parked any more. Raise Refusal as its provider says."""
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
    return Refusal(RefusalReason.NOT_FOUND, "No parked item has this id: `parked list` shows them.")


def _not_parked() -> Refusal:
    return Refusal(RefusalReason.NOT_ALLOWED, "It is not parked any more: `show` displays its state.")


def _answer(item: ParkedItem, done: str) -> ChangeResult:
    body: Mapping[str, Any] = {
        "what": item.what,
        "id": item.name,
        "payment_id": str(item.payment_id) if item.payment_id else None,
        "done": done,
    }
    return ChangeResult(body)
