"""What is parked goes on when a person says so: it is tried again, or ended by what the person knows to be true.

Trying again never moves money twice. What became of a call is read first, and a create, capture or cancel that was not done is
sent under the next epoch of its key. A refund that two reads don't find is parked again, unless the provider itself refused its
only attempt: then nothing was done, and it is sent anew. What a person says of a refund, or that a call happened, is held against
the provider first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from payment_service.db import parked, payment_reads, payments
from payment_service.domain.payment import Applied, Parked, RefusedFact
from payment_service.domain.refund import RefundListFact, RefundRefused, RefundsChanged
from payment_service.flows.operators.provider_lookup import check_against_intent, check_against_refunds, read_provider
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.state.system_operations import read_after, read_own_intent
from payment_service.provider.port import OWN_INTENT, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.db.parked import ParkedOperation
    from payment_service.db.pool import Connection
    from payment_service.domain.facts import AnyFact
    from payment_service.domain.payment import Payment
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold

# The code under which an end that a person told is kept and announced.
RESOLVED: Final = "resolved_by_person"
PROVIDER_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedItem:
    """Something that is, or was, parked. `what`: operation, event, record or transfer; `payment_id` None: of no payment that we know.

    `owner`: the provider of a call or an event, the account of a transfer; `kind`: of a call.
    """

    what: str
    name: str
    payment_id: UUID | None
    owner: str = ""
    kind: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorClaim:
    """What a person knows of a call, and how: it happened at the provider, under an id of its; or never. An event, or a transfer, is closed."""

    what: Literal["happened", "never", "close"]
    provider_id: str
    note: str


class ParkedItems:
    """Lets go of what is parked."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def find(self, name: str, as_id: UUID | None) -> ParkedItem:
        """Find what bears this name: an operation, held records (by their payment's id), an event, a transfer. Raises Refusal.

        An event may be named with its provider, a transfer with its account, `stripe:evt_…`: where several have one of the same id.
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
        found = await self._find_told(name) or await self._find_told(own_name, owner)
        if found is None:
            raise _unknown()
        return found

    async def _find_told(self, name: str, owner: str = "") -> ParkedItem | None:
        """Find an event or a transfer by the name that others gave it. Raises Refusal where it is that of several."""
        for what, rows in (
            ("event", await parked.find_events(self._context.pool, name, self._context.providers.by_name.keys())),
            ("transfer", await parked.find_transfers(self._context.pool, name)),
        ):
            found = [row for row in rows if owner in {"", row["owner"]}]
            if len(found) > 1:
                choice = ", ".join(f"{row['owner']}:{name}" for row in found)
                raise Refusal(RefusalReason.INVALID, f"Several are parked under this id: name one of {choice}.")
            if found:
                return ParkedItem(what=what, name=name, payment_id=found[0]["payment_id"], owner=found[0]["owner"])
        return None

    async def retry(self, found: ParkedItem, change_request: ChangeRequest) -> ChangeResult:
        """Let it be tried again. Raises Refusal."""
        if found.what == "transfer":
            message = "Say whose it is: payment-service bank confirm ORDER --transaction ID; or close it."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)

        async def work(connection: Connection) -> ChangeResult:
            match found.what:
                case "operation":
                    return _answer(found, await self._retry_operation(connection, found))
                case "event":
                    done = await parked.retry_event(connection, found.name, found.owner)
                case _:
                    done = await parked.release_aggregate(connection, UUID(found.name))
            if not done:
                raise _not_parked()
            return _answer(found, "tried_again")

        return await change_once(self._context.pool, change_request, work)

    async def resolve(self, found: ParkedItem, truth: OperatorClaim, change_request: ChangeRequest) -> ChangeResult:
        """End it by what a person knows. Raises Refusal."""
        if found.what == "record":
            raise Refusal(
                RefusalReason.NOT_ALLOWED, "A record can't be left out: raise the limit that refuses it, and retry."
            )
        close = {"event": parked.close_event, "transfer": parked.close_transfer}.get(found.what)
        if (close is not None) != (truth.what == "close"):
            message = "An event or a transfer is closed (--close); a call happened at the provider, or never did."
            raise Refusal(RefusalReason.INVALID, message)
        told = await self._look_up(found) if asks_provider(found, truth) else None

        async def work(connection: Connection) -> ChangeResult:
            if close is not None:
                if not await close(connection, found.name, found.owner):
                    raise _not_parked()
                return _answer(found, "closed")
            payment, operation = await self._lock(connection, found)
            fold = self._context.fold({payment.id: payment})
            await fold.load(connection, [payment.id])
            await self._tell(connection, fold, payment, operation, truth, told)
            await fold.write(connection)
            await parked.resolve_operation(
                connection, operation.id, "done" if truth.what == "happened" else "refused", truth.note
            )
            return _answer(found, "happened" if truth.what == "happened" else "never_happened")

        return await change_once(self._context.pool, change_request, work)

    async def _lock(self, connection: Connection, found: ParkedItem) -> tuple[Payment, ParkedOperation]:
        payment = await payments.lock_one(connection, found.payment_id) if found.payment_id else None
        operation = await parked.lock_operation(connection, UUID(found.name))
        if payment is None or operation is None:
            raise _not_parked()
        return payment, operation

    async def _retry_operation(self, connection: Connection, found: ParkedItem) -> str:
        _, operation = await self._lock(connection, found)
        if operation.kind is Kind.CREATE and operation.code == "another_object":
            message = "The provider answered with what is not this payment's: look at it there, and resolve this."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        if is_definite(operation):
            await parked.retry_in_next_epoch(connection, operation.id)
            return "sent_anew"
        await parked.retry_with_read(connection, operation.id)
        return "read_first"

    async def _look_up(self, found: ParkedItem) -> AnyFact | None:
        """Read what the provider has, with nothing held meanwhile; None: it is not parked any more. Raises Refusal."""
        try:
            async with self._context.pool.acquire() as connection, connection.transaction():
                payment, operation = await self._lock(connection, found)
        except Refusal:
            return None
        return await read_provider(self._context, payment, operation)

    async def _tell(
        self,
        connection: Connection,
        fold: Fold,
        payment: Payment,
        operation: ParkedOperation,
        truth: OperatorClaim,
        told: AnyFact | None,
    ) -> None:
        happened = truth.what == "happened"
        match operation.kind:
            case Kind.REFUND:
                await self._tell_refund(connection, fold, payment, operation, truth, told)
            case Kind.CREATE if happened:
                message = "Retry it instead: the service looks for the intent, and takes what bears the payment's name."
                raise Refusal(RefusalReason.NOT_ALLOWED, message)
            case Kind.CREATE:
                reason = "The payment could not be opened at the provider."
                fact = RefusedFact(code=RESOLVED, reason=reason, at=self._now(), source=f"resolved:{operation.id}")
                if not isinstance(fold.take(payment.id, fact), Applied):
                    raise Refusal(RefusalReason.NOT_ALLOWED, "An intent exists, so this did happen: retry it instead.")
            case Kind.CAPTURE | Kind.CANCEL if happened:
                _take(fold, payment, check_against_intent(operation, truth.provider_id, told))
            case Kind.CAPTURE | Kind.CANCEL:
                # Whatever a person says, the end of a payment comes from the provider.
                self._read(fold, payment, operation)
            case Kind.RETRIEVE if happened:
                raise Refusal(
                    RefusalReason.NOT_ALLOWED,
                    "It only reads: retry it, or say --never where it is not needed any more.",
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

    async def _tell_refund(
        self,
        connection: Connection,
        fold: Fold,
        payment: Payment,
        operation: ParkedOperation,
        truth: OperatorClaim,
        told: AnyFact | None,
    ) -> None:
        if not isinstance(told, RefundListFact):
            raise _not_parked()
        if truth.what == "never":
            if (made := next((one for one in told.refunds if one.refund_id == operation.id), None)) is not None:
                message = f"The provider has made it: say --happened {made.provider_refund_id}."
                raise Refusal(RefusalReason.NOT_ALLOWED, message)
            if not told.whole:
                message = "Not all refunds of this payment could be read, so nothing was changed: say --happened, or retry it."
                raise Refusal(RefusalReason.NOT_ALLOWED, message)
            if not isinstance(fold.take(payment.id, self._refused(operation)), RefundsChanged):
                raise Refusal(
                    RefusalReason.NOT_ALLOWED,
                    "The provider has told of this refund, so it did happen: retry it instead.",
                )
            return
        known = await parked.refund_with_provider_id(connection, payment.provider, truth.provider_id)
        if known is not None and known["id"] != operation.id:
            message = f"{truth.provider_id} is the refund {known['id']}: if it was made instead of this one, this one never happened."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        _take(fold, payment, check_against_refunds(fold.refund(payment.id, operation.id), truth.provider_id, told))

    def _refused(self, operation: ParkedOperation) -> AnyFact:
        reason = "It never happened, as a person has told."
        return RefundRefused(
            refund_id=operation.id, code=RESOLVED, reason=reason, at=self._now(), source=f"resolved:{operation.id}"
        )

    def _now(self) -> int:
        return int(self._context.now().timestamp())


def asks_provider(found: ParkedItem, truth: OperatorClaim) -> bool:
    """Whether what a person says is held against what the provider has: all that can't be undone."""
    ends = {"happened": {Kind.REFUND, Kind.CAPTURE, Kind.CANCEL}, "never": {Kind.REFUND}}
    return found.kind in ends.get(truth.what, set())


def _take(fold: Fold, payment: Payment, fact: AnyFact) -> None:
    """Fold what was read. Raises Refusal where a person must look at more than this call."""
    if isinstance(verdict := fold.take(payment.id, fact), Parked):
        raise Refusal(
            RefusalReason.NOT_ALLOWED, f"It does not fit what is known here ({verdict.detail}), so nothing was changed."
        )


def is_definite(operation: ParkedOperation) -> bool:
    """Whether nothing can exist under a refund's key: the provider itself answered its only attempt, and by a refusal."""
    if operation.kind is not Kind.REFUND or not operation.answered_by or operation.resolving:
        return False
    read_back = operation.code == "another_object" or operation.code.startswith("malformed_")
    return operation.outcome == "unexpected" and operation.tries <= 1 and not read_back


def _unknown() -> Refusal:
    return Refusal(RefusalReason.NOT_FOUND, "Nothing of this id is parked: `parked list` shows what is.")


def _not_parked() -> Refusal:
    return Refusal(RefusalReason.NOT_ALLOWED, "It is not parked any more: `show` tells how it stands.")


def _answer(found: ParkedItem, done: str) -> ChangeResult:
    body: Mapping[str, Any] = {
        "what": found.what,
        "id": found.name,
        "payment_id": str(found.payment_id) if found.payment_id else None,
        "done": done,
    }
    return ChangeResult(body)
