"""Settling: endings and facts of many attempts in one transaction, one by one when that fails.

Payments are locked first, in the order of ids, then their operations. A payment that somebody else holds is left for the next
round, and so delays no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from payment_service.crash_points import reached
from payment_service.db import operations, payments
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.payment import Parked
from payment_service.flows.groups import contained
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.flows.endings import Settlement
    from payment_service.flows.surroundings import Surroundings
    from payment_service.flows.transition import Fold

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a round did. `waiting`: settlements whose payment was held by somebody else."""

    settled: tuple[Settlement, ...]
    waiting: tuple[Settlement, ...]


async def settle(here: Surroundings, settlements: Sequence[Settlement]) -> Settled:
    """Settle a group. Raises TRANSIENT_ERRORS when the database can't be used: the group is to be settled again."""
    with contained("settle_group_failed", size=len(settlements)):
        return await _settle_group(here, settlements)
    rounds = [await _settle_alone(here, one) for one in settlements]
    return Settled(tuple(s for r in rounds for s in r.settled), tuple(s for r in rounds for s in r.waiting))


async def _settle_alone(here: Surroundings, settlement: Settlement) -> Settled:
    """One that can't be settled by itself either is parked without its facts, so that it stops no other."""
    try:
        return await _settle_group(here, [settlement])
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one payment's answer trips over must not stop the others
        log.error(
            "settle_failed",
            operation_id=str(settlement.operation.id),
            error=type(error).__name__,
            detail=str(error)[:300],
        )
        # Without its texts too: one of them may be what the database refuses.
        code = type(error).__name__
        parked = replace(settlement.ending, state="parked", outcome="unsettleable", code=code, detail="", request_id="")
        async with here.pool.acquire() as connection:
            await operations.settle(connection, [parked])
        return Settled((settlement,), ())


async def _settle_group(here: Surroundings, settlements: Sequence[Settlement]) -> Settled:
    async with here.pool.acquire() as connection, connection.transaction():
        locked = await payments.lock_available(connection, {s.operation.payment_id for s in settlements})
        ours = [s for s in settlements if s.operation.payment_id in locked]
        fold = here.fold(locked)
        await fold.load_for(connection, [(s.operation.payment_id, fact) for s in ours for fact in s.facts])
        endings = [_fold_in(fold, settlement) for settlement in ours]
        await fold.write(connection)
        if endings:
            await operations.settle(connection, endings)
        reached("settle.commit.before")
    reached("settle.commit.after")
    here.after(fold)
    waiting = tuple(s for s in settlements if s.operation.payment_id not in locked)
    return Settled(tuple(ours), waiting)


def _fold_in(fold: Fold, settlement: Settlement) -> operations.Ending:
    """Fold the facts, which count even if the attempt is not the current one any more, and end the operation by them."""
    operation, ending = settlement.operation, settlement.ending
    for fact in settlement.facts:
        verdict = fold.take(operation.payment_id, fact)
        if isinstance(verdict, Parked):
            ending = replace(ending, state="parked", outcome=verdict.reason, detail=verdict.detail, next_epoch=False)
    if settlement.read_again:
        fold.ask_for_read(operation.payment_id, operation.request, f"after:{operation.id}:{operation.attempt}")
    payment = fold.payment(operation.payment_id)
    if operation.kind is Kind.CREATE and ending.state == "due" and payment.provider_payment_id is not None:
        # The provider told us of the intent by another way; another epoch would make a second one.
        return replace(ending, state="done", outcome="found", next_epoch=False)
    return ending
