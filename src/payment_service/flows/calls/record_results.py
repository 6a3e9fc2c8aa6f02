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
from payment_service.flows.state.batches import isolate_errors
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.flows.calls.outcomes import CallResult
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a round did. `waiting`: settlements whose payment was held by somebody else."""

    settled: tuple[CallResult, ...]
    waiting: tuple[CallResult, ...]


async def record_results(context: Context, results: Sequence[CallResult]) -> Recorded:
    """Settle a group. Raises TRANSIENT_ERRORS when the database can't be used: the group is to be settled again."""
    with isolate_errors("settle_group_failed", size=len(results)):
        return await _record_group(context, results)
    rounds = [await _record_alone(context, one) for one in results]
    return Recorded(tuple(s for r in rounds for s in r.settled), tuple(s for r in rounds for s in r.waiting))


async def _record_alone(context: Context, result: CallResult) -> Recorded:
    """One that can't be settled by itself either is parked without its facts, so that it stops no other."""
    try:
        return await _record_group(context, [result])
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one payment's answer trips over must not stop the others
        log.error(
            "settle_failed",
            operation_id=str(result.operation.id),
            error=type(error).__name__,
            detail=str(error)[:300],
        )
        # Without its texts too: one of them may be what the database refuses.
        code = type(error).__name__
        parked = replace(result.update, state="parked", outcome="unsettleable", code=code, detail="", request_id="")
        async with context.pool.acquire() as connection:
            await operations.record_results(connection, [parked])
        return Recorded((result,), ())


async def _record_group(context: Context, results: Sequence[CallResult]) -> Recorded:
    async with context.pool.acquire() as connection, connection.transaction():
        locked = await payments.lock_available(connection, {s.operation.payment_id for s in results})
        ours = [s for s in results if s.operation.payment_id in locked]
        fold = context.fold(locked)
        await fold.load_for(connection, [(s.operation.payment_id, fact) for s in ours for fact in s.facts])
        updates = [_fold_in(fold, result) for result in ours]
        await fold.write(connection)
        if updates:
            await operations.record_results(connection, updates)
        reached("results.commit.before")
    reached("results.commit.after")
    context.after(fold)
    waiting = tuple(s for s in results if s.operation.payment_id not in locked)
    return Recorded(tuple(ours), waiting)


def _fold_in(fold: Fold, result: CallResult) -> operations.OperationUpdate:
    """Fold the facts, which count even if the attempt is not the current one any more, and end the operation by them."""
    operation, update = result.operation, result.update
    for fact in result.facts:
        verdict = fold.take(operation.payment_id, fact)
        if isinstance(verdict, Parked):
            update = replace(update, state="parked", outcome=verdict.reason, detail=verdict.detail, next_epoch=False)
    if result.read_again:
        fold.ask_for_read(operation.payment_id, operation.request, f"after:{operation.id}:{operation.attempt}")
    payment = fold.payment(operation.payment_id)
    if operation.kind is Kind.CREATE and update.state == "due" and payment.provider_payment_id is not None:
        # The provider told us of the intent by another way; another epoch would make a second one.
        return replace(update, state="done", outcome="found", next_epoch=False)
    return update
