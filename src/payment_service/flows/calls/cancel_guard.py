"""Decide, from what the provider has, whether a system-initiated cancel may be sent (invariant I14). Pure.

A cancel releases money that a customer has authorized, and our row may be older than the authorization: a webhook can be
lost. So the intent is read in the same attempt, right before the cancel is sent. A client who asks for a cancel decides for
itself, so its request is not guarded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from payment_service.db.operations import OperationUpdate
from payment_service.domain.payment import IntentFact, Status
from payment_service.flows.calls.outcomes import NOT_UNPAID, CallResult, conclude
from payment_service.flows.state.system_operations import EXPIRED, ORDER_CANCELLED_KEY, STRAY, SYSTEM
from payment_service.provider.port import Done, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.db.operations import Claimed
    from payment_service.provider.port import Outcome

UNPAID: Final = frozenset({Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED})
# Causes of guarded cancels, with the statuses in which the cancel is sent. A canceled order releases its hold.
_SENT_IN: Final = (
    (f"{SYSTEM}:{EXPIRED}:", UNPAID),
    (f"{SYSTEM}:{ORDER_CANCELLED_KEY}:", UNPAID | {Status.AUTHORIZED}),
    (f"{STRAY}:", UNPAID),
)
# A bank decides within minutes (cards) to days (debits). A stray must not become payable again after a decline.
PROCESSING_RETRY_S: Final = 60.0


def is_guarded(operation: Claimed) -> bool:
    """Return whether the provider is read before this operation is sent."""
    return operation.kind is Kind.CANCEL and _sent_in(operation) is not None


def conclude_guard(operation: Claimed, outcome: Outcome, *, jitter: Callable[[], float]) -> CallResult | None:
    """Map the read to a result, or return None if the cancel may be sent."""
    if not isinstance(outcome, Done) or not isinstance(outcome.fact, IntentFact):
        return conclude(operation, outcome, jitter=jitter)
    fact = outcome.fact
    if fact.status in (_sent_in(operation) or frozenset()):
        return None
    update = OperationUpdate(
        id=operation.id,
        attempt=operation.attempt,
        state="done" if fact.status.ended else "refused",
        outcome="found" if fact.status.ended else NOT_UNPAID,
        code="" if fact.status.ended else fact.status,
        request_id=outcome.request_id,
    )
    if fact.status is Status.PROCESSING and operation.cause.startswith(f"{STRAY}:"):
        update = replace(update, state="due", delay_s=PROCESSING_RETRY_S)
    return CallResult(operation=operation, update=update, facts=(fact,))


def _sent_in(operation: Claimed) -> frozenset[Status] | None:
    return next((statuses for prefix, statuses in _SENT_IN if operation.cause.startswith(prefix)), None)
