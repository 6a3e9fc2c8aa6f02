"""Make a batch of inbound Kafka records durable, so that its offsets may be committed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from payment_service.contracts.dead_letters import DeadLetter, Record
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.order import CancelledOrder, Order, Reason, Rejected
from payment_service.flows.state.batches import isolate_errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Accept: TypeAlias = Callable[[Sequence["InboundRecord"]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundRecord(Record):
    """A consumed record, decoded or rejected. `letter`: its dead letter, if it was rejected when it was decoded."""

    decoded: Order | CancelledOrder | Rejected
    letter: DeadLetter | None = None


async def accept_records(inbound: Sequence[InboundRecord], accept: Accept) -> None:
    """Make a batch durable with `accept`, in one transaction, or one by one if that fails.

    Raise TRANSIENT_ERRORS, with nothing written, when the database is unavailable.
    """
    with isolate_errors("intake_group_failed", size=len(inbound)):
        await accept(inbound)
        return
    for inbound_record in inbound:
        await _accept_alone(inbound_record, accept)


async def _accept_alone(inbound_record: InboundRecord, accept: Accept) -> None:
    try:
        await accept([inbound_record])
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - the record is quarantined with the reason
        detail = f"The database rejected the record ({type(error).__name__}): report this as a bug."
        await accept([replace(inbound_record, decoded=Rejected(Reason.NOT_STORABLE, detail), letter=None)])
