"""Record the results of many attempts in one transaction, or one by one if that fails.

Payments are locked first, in the order of ids, then their operations. Results of payments that another transaction has
locked are deferred to the next round, so they delay no others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.crash_points import reached
from payment_service.db import operations, payments
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.payment import Parked
from payment_service.flows.state.batches import isolate_errors
from payment_service.loop import Loop
from payment_service.provider.port import Kind
from payment_service.telemetry import steps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from payment_service.flows.calls.outcomes import CallResult
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold

log = structlog.get_logger(__name__)

# A transaction of about 20 ms, well under the lock timeout of other transactions.
RECORD_GROUP_MAX: Final = 256
# Every result wakes the loop.
RECORD_INTERVAL_MAX_S: Final = 5.0
# Results that keep coming share a commit. A result after a pause waits for nobody, and this many wait no longer.
RECORD_APART_S: Final = 0.1
RECORD_ENOUGH: Final = 64


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of one round.

    `deferred`: results whose payments are locked by another transaction. `followed`: whether an operation waited for one of these.
    `refused`: whether the provider refused calls before.
    """

    recorded: tuple[CallResult, ...]
    deferred: tuple[CallResult, ...]
    followed: bool = False
    refused: bool = False


def recording_loop(record_once: Callable[[], Awaitable[int]], enough: Callable[[], bool]) -> Loop:
    """Return the loop that records results in groups."""
    return Loop(
        "dispatch.record_results",
        record_once,
        interval_max_s=RECORD_INTERVAL_MAX_S,
        apart_s=RECORD_APART_S,
        enough=enough,
    )


async def record_results(context: Context, results: Sequence[CallResult]) -> Recorded:
    """Record a group. Raise TRANSIENT_ERRORS when the database is unavailable: record the group again then."""
    with isolate_errors("results_group_failed", size=len(results)):
        return await _record_group(context, results)
    rounds = [await _record_alone(context, one) for one in results]
    return Recorded(
        tuple(s for r in rounds for s in r.recorded),
        tuple(s for r in rounds for s in r.deferred),
        followed=any(r.followed for r in rounds),
        refused=any(r.refused for r in rounds),
    )


async def _record_alone(context: Context, result: CallResult) -> Recorded:
    """Record one result. If that fails, park the operation without applying its facts so that it cannot block others."""
    try:
        return await _record_group(context, [result])
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - one faulty result must not block the others
        log.error(
            "result_not_recorded",
            operation_id=str(result.operation.id),
            error=type(error).__name__,
            detail=str(error)[:300],
        )
        # Omit the texts too: the database may reject one of them.
        code = type(error).__name__
        parked = replace(result.update, state="parked", outcome="unrecordable", code=code, detail="", request_id="")
        async with context.pool.acquire() as connection:
            await operations.record_results(connection, [parked])
        return Recorded((result,), ())


async def _record_group(context: Context, results: Sequence[CallResult]) -> Recorded:
    began_s = time.time()
    async with context.pool.acquire() as connection, connection.transaction():
        locked = await payments.lock_available(connection, {s.operation.payment_id for s in results})
        ours = [s for s in results if s.operation.payment_id in locked]
        fold = context.fold(locked)
        await fold.load_for(connection, [(s.operation.payment_id, fact) for s in ours for fact in s.facts])
        updates = [_fold_in(fold, result) for result in ours]
        await fold.write(connection)
        written = await operations.record_results(connection, updates) if updates else None
        reached("results.commit.before")
    reached("results.commit.after")
    context.after_commit(fold)
    _report(fold, ours, began_s)
    deferred = tuple(s for s in results if s.operation.payment_id not in locked)
    if written is None:
        return Recorded(tuple(ours), deferred)
    return Recorded(tuple(ours), deferred, followed=written.followed, refused=written.refused)


def _report(fold: Fold, recorded: Sequence[CallResult], began_s: float) -> None:
    if not steps.wanted():
        return
    for result in recorded:
        payment = fold.payment(result.operation.payment_id)
        steps.took(
            "result_recorded",
            began_s=began_s,
            payment_id=payment.id,
            parent=payment.traceparent,
            order_id=payment.order_id,
            kind=result.operation.kind,
            outcome=result.update.outcome,
            status=payment.status,
        )


def _fold_in(fold: Fold, result: CallResult) -> operations.OperationUpdate:
    """Fold the facts and derive the operation's update from them. Facts count even if the attempt is outdated."""
    operation, update = result.operation, result.update
    for fact in result.facts:
        verdict = fold.take(operation.payment_id, fact)
        if isinstance(verdict, Parked):
            update = replace(update, state="parked", outcome=verdict.reason, detail=verdict.detail, next_epoch=False)
    if result.needs_read:
        cause = f"after:{operation.id}:{operation.attempt}"
        if operation.kind is Kind.CREATE:
            fold.enqueue_own_read(operation.payment_id, cause)
        else:
            fold.enqueue_read(operation.payment_id, operation.request, cause)
    payment = fold.payment(operation.payment_id)
    if operation.kind is Kind.CREATE and update.state == "due" and payment.provider_payment_id is not None:
        # Another fact brought the intent already. Another epoch would create a second one.
        return replace(update, state="done", outcome="found", next_epoch=False)
    return update
