"""Repair our rows by the facts of listed objects, through the fold, as a result of a read does.

Payments that another session has locked are skipped; the caller looks at them again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from payment_service.db import payments
from payment_service.db.comparisons import published_causes
from payment_service.domain.dispute import DisputeChanged
from payment_service.domain.ids import external_refund_id
from payment_service.domain.payment import ChargeFact, IntentFact, Status, Stray
from payment_service.domain.refund import RefundFact, RefundsChanged
from payment_service.flows.reconciliation.judgments import same_status
from payment_service.flows.state.batches import isolate_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.differences import Difference
    from payment_service.domain.facts import AnyFact, AnyVerdict
    from payment_service.flows.reconciliation.judgments import Judgment
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of a group. `found`: its differences, repaired or open. `locked`: judgments to look at again."""

    fold: Fold
    found: tuple[Difference, ...]
    locked: tuple[Judgment, ...]


async def repair(connection: Connection, context: Context, judgments: Sequence[Judgment]) -> Repaired:
    """Fold the facts of a group in the caller's transaction. If that fails, leave its differences open."""
    facts = [(judgment.difference.payment_id, judgment.fact) for judgment in judgments if judgment.fact is not None]
    named = [(payment_id, fact) for payment_id, fact in facts if payment_id is not None]
    with isolate_errors("repairs_failed", level=logging.WARNING, size=len(named)):
        async with connection.transaction():
            return await _fold(connection, context, judgments, named)
    if len(judgments) == 1:
        return Repaired(context.fold({}), (judgments[0].difference,), ())
    return await _repair_one_by_one(connection, context, judgments)


async def _repair_one_by_one(connection: Connection, context: Context, judgments: Sequence[Judgment]) -> Repaired:
    done = [await repair(connection, context, [judgment]) for judgment in judgments]
    # The caller only wakes loops and counts by the fold, so the last one stands for all.
    found = tuple(difference for one in done for difference in one.found)
    return Repaired(done[-1].fold, found, tuple(judgment for one in done for judgment in one.locked))


async def _fold(
    connection: Connection, context: Context, judgments: Sequence[Judgment], facts: Sequence[tuple[UUID, AnyFact]]
) -> Repaired:
    locked = await payments.lock_available(connection, {payment_id for payment_id, _ in facts})
    fold = context.fold(locked)
    await fold.load_for(connection, facts)
    fold.skip_published(await published_causes(connection, locked.keys()))
    found, waiting = [], []
    for judgment in judgments:
        payment_id = judgment.difference.payment_id
        if judgment.fact is None or payment_id is None:
            found.append(judgment.difference)
        elif payment_id not in fold:
            waiting.append(judgment)
        else:
            verdict = fold.take(payment_id, judgment.fact)
            repaired = _is_repaired(fold, payment_id, judgment.fact, verdict)
            found.append(replace(judgment.difference, repaired=repaired))
    await fold.write(connection)
    return Repaired(fold, tuple(found), tuple(waiting))


def _is_repaired(fold: Fold, payment_id: UUID, fact: AnyFact, verdict: AnyVerdict) -> bool:
    """Compare the folded row with the fact. Another session may have repaired it meanwhile."""
    payment = fold.payment(payment_id)
    if isinstance(verdict, Stray):
        return verdict.cancel
    match fact:
        case IntentFact():
            same = payment.provider_payment_id == fact.intent_id and same_status(payment.status, fact.status)
            return same and (fact.status is not Status.SUCCEEDED or payment.captured == fact.received)
        case ChargeFact():
            return payment.method == fact.method
        case RefundFact():
            return isinstance(verdict, RefundsChanged) or _has_refund(fold, payment_id, fact)
        case _:
            return isinstance(verdict, DisputeChanged)


def _has_refund(fold: Fold, payment_id: UUID, fact: RefundFact) -> bool:
    names = (fact.refund_id, external_refund_id(payment_id, fact.provider_refund_id))
    refunds = [fold.find_refund(payment_id, name) for name in names if name is not None]
    return any(
        refund is not None
        and refund.provider_refund_id == fact.provider_refund_id
        and refund.status is fact.status
        and refund.amount == fact.amount
        for refund in refunds
    )
