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
    if fact.status is Status.PROCESSING and _is_stray(operation):
        return CallResult(operation=operation, update=_wait_for_bank(operation, outcome.request_id))
    update = OperationUpdate(
        id=operation.id,
        attempt=operation.attempt,
        state="done" if fact.status.ended else "refused",
        outcome="found" if fact.status.ended else NOT_UNPAID,
        code="" if fact.status.ended else fact.status,
        request_id=outcome.request_id,
    )
    return CallResult(operation=operation, update=update, facts=(fact,))


def retry_stray(result: CallResult) -> CallResult:
    """Keep a stray's cancel due if the stray's status refused it: the bank may have begun to process it after the read.

    The next attempt reads again, so a paid stray is found then. It needs a new key, since the refusal is stored under this.
    """
    if result.update.outcome != "wrong_state" or not _is_stray(result.operation):
        return result
    update = _wait_for_bank(result.operation, result.update.request_id)
    return CallResult(operation=result.operation, update=replace(update, code=result.update.code, next_epoch=True))


def _wait_for_bank(operation: Claimed, request_id: str) -> OperationUpdate:
    return OperationUpdate(
        id=operation.id,
        attempt=operation.attempt,
        state="due",
        outcome=NOT_UNPAID,
        code=Status.PROCESSING,
        request_id=request_id,
        delay_s=PROCESSING_RETRY_S,
    )


def _is_stray(operation: Claimed) -> bool:
    return operation.cause.startswith(f"{STRAY}:")


def _sent_in(operation: Claimed) -> frozenset[Status] | None:
    return next((statuses for prefix, statuses in _SENT_IN if operation.cause.startswith(prefix)), None)
