"""Map the outcome of an attempt to an operation update and its facts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from payment_service.db.operations import OperationUpdate
from payment_service.domain.facts_without_intent import WithdrawnFact
from payment_service.domain.payment import IntentFact, Status
from payment_service.domain.refund import RefundListFact, RefundRefused
from payment_service.flows.calls.retry_delays import BACKOFF_BASE_S, BALANCE_RETRIES_MAX, backoff_s, balance_delay_s
from payment_service.provider.port import (
    BalanceTooLow,
    Blocked,
    Done,
    Kind,
    Misused,
    Refused,
    Transient,
    Unexpected,
    Unknown,
    WrongState,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.db.operations import Claimed
    from payment_service.domain.facts import AnyFact
    from payment_service.provider.port import Outcome

# An attempt may reach the wire for 5 s after its claim. The sixth second covers the clocks' resolution.
SEND_WINDOW_S: Final = 6.0
# Two empty reads this far apart must precede a second create.
EMPTY_READS_APART_S: Final = 60.0
# Stripe keeps keys for at least 24 h (https://docs.stripe.com/api/idempotent_requests). One hour is left for clock
# differences.
KEY_VALID_S: Final = 23 * 3600.0
# Outcome: a lookup before the first attempt found nothing.
NOTHING_YET: Final = "nothing_yet"
# Outcome: the call was not made, because its intent was never created.
NO_INTENT: Final = "no_intent"
# The outcome of a cancel that was not sent, because the provider shows that the payment is not unpaid.
NOT_UNPAID: Final = "not_unpaid"
# An intent with one of these statuses was not canceled.
_STILL_OPEN: Final = frozenset(
    {Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED, Status.AUTHORIZED, Status.PROCESSING}
)

# If several intents carry one payment's id, the first in this order becomes the payment's own: prefer intents with
# money.
_OWN_INTENT_ORDER: Final = (
    Status.SUCCEEDED,
    Status.AUTHORIZED,
    Status.PROCESSING,
    Status.REQUIRES_ACTION,
    Status.DECLINED,
    Status.PENDING,
    Status.CANCELED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """The operation update and facts of one attempt. `needs_read`: the response may be outdated, so enqueue a read."""

    operation: Claimed
    update: OperationUpdate
    facts: tuple[AnyFact, ...] = ()
    needs_read: bool = False
    blocked: Blocked | None = None
    unexpected_refusal: bool = False

    @property
    def succeeded(self) -> bool:
        """Return whether the response shows that the provider accepts calls of this kind."""
        return self.update.state in {"done", "refused"} and self.update.outcome not in {NO_INTENT, NOT_UNPAID}


def conclude(operation: Claimed, outcome: Outcome, *, jitter: Callable[[], float]) -> CallResult:
    """Map an outcome to a result. `jitter` returns a random number from 0 to 1."""
    match outcome:
        case Done(fact=fact, outdated=outdated):
            return _final(operation, "done", "done", outcome, fact, needs_read=fact is None or outdated)
        case Refused(code=code, reason=reason, fact=fact):
            # Earlier external refunds may be the reason, so read them.
            needs_read = operation.kind is Kind.REFUND
            return _release_reservation(
                _final(operation, "refused", "refused", outcome, fact, code=code, detail=reason, needs_read=needs_read)
            )
        case WrongState(code=code, fact=fact):
            return _release_reservation(
                _final(operation, "refused", "wrong_state", outcome, fact, code=code, needs_read=fact is None)
            )
        case Transient(code=code, retry_after_s=retry_after_s):
            delay_s = retry_after_s + backoff_s(operation.tries, jitter())
            return _retry(operation, "transient", outcome, code=code, delay_s=delay_s)
        case BalanceTooLow():
            return _retry_with_balance(operation, outcome)
        case Unknown(code=code, replayed=replayed):
            delay_s = SEND_WINDOW_S if replayed else backoff_s(operation.tries, jitter())
            return _retry(operation, "unknown", outcome, code=code, delay_s=delay_s, resolving=replayed)
        case Blocked():
            return _retry(operation, "blocked", outcome, code=outcome.code, delay_s=jitter(), blocked=outcome)
        case Misused(code=code):
            return _retry(operation, "misused", outcome, code=code, delay_s=SEND_WINDOW_S, resolving=True)
        case Unexpected(code=code, detail=detail):
            return _final(
                operation, "parked", "unexpected", outcome, None, code=code, detail=detail, unexpected_refusal=True
            )


def conclude_read(
    operation: Claimed, facts: tuple[IntentFact | None, ...] | None, *, jitter: Callable[[], float]
) -> CallResult:
    """Map a listing to the result of a create whose key cannot help any more.

    `facts` is None if the listing failed. It contains None for an intent of this payment that cannot be parsed. In that
    case no second intent may be created.
    """
    if facts is None:
        return _retry(
            operation,
            operation.last_outcome or "unknown",
            None,
            code="not_listed",
            delay_s=backoff_s(operation.tries, jitter()),
        )
    if None in facts:
        return CallResult(
            operation=operation, update=_update(operation, "parked", "unexpected", code="malformed_intent")
        )
    if not facts and operation.withdrawal is not None:
        return _withdrawn(operation, operation.withdrawal)
    if not facts and operation.looks_first:
        return CallResult(operation=operation, update=_update(operation, "due", NOTHING_YET, next_epoch=True))
    if facts:
        readable = (fact for fact in facts if fact is not None)
        ordered = tuple(sorted(readable, key=lambda fact: _OWN_INTENT_ORDER.index(fact.status)))
        return CallResult(operation=operation, update=_update(operation, "done", "found"), facts=ordered)
    if (undecided := _retry_lookup(operation)) is not None:
        return undecided
    if operation.last_outcome == "misused":
        return CallResult(operation=operation, update=_update(operation, "parked", "misused", code="idempotency_error"))
    return CallResult(operation=operation, update=_update(operation, "due", "nothing_exists", next_epoch=True))


def _retry_with_balance(operation: Claimed, outcome: BalanceTooLow) -> CallResult:
    """Retry under the next key, since the provider replays the refusal of this one. Give up after about a week."""
    if operation.epoch > BALANCE_RETRIES_MAX:
        return _release_reservation(_final(operation, "refused", "balance_too_low", outcome, None, code=outcome.code))
    update = _update(
        operation,
        "due",
        "balance_too_low",
        code=outcome.code,
        request_id=outcome.request_id,
        delay_s=balance_delay_s(operation.epoch),
        next_epoch=True,
    )
    return CallResult(operation=operation, update=update)


def _withdrawn(operation: Claimed, reason: str) -> CallResult:
    """End a create that is not wanted and that the provider does not have."""
    fact = WithdrawnFact(code=reason, at=int(operation.claimed_at.timestamp()), source="withdrawn")
    update = _update(operation, "refused", "withdrawn", code=reason)
    return CallResult(operation=operation, update=update, facts=(fact,))


def conclude_lookup(operation: Claimed, outcome: Outcome, *, jitter: Callable[[], float]) -> CallResult:
    """Map a lookup to the result of a cancel, capture or refund whose key cannot help any more."""
    if isinstance(outcome, Done) and isinstance(outcome.fact, RefundListFact):
        return _conclude_refund_lookup(operation, outcome, outcome.fact)
    if not isinstance(outcome, Done) or not isinstance(outcome.fact, IntentFact):
        return conclude(operation, outcome, jitter=jitter)
    fact = outcome.fact
    if operation.kind is Kind.RETRIEVE or fact.status not in _STILL_OPEN:
        return CallResult(operation=operation, update=_update(operation, "done", "found"), facts=(fact,))
    if operation.last_outcome == "misused":
        return CallResult(
            operation=operation, update=_update(operation, "parked", "misused", code="idempotency_error"), facts=(fact,)
        )
    return CallResult(operation=operation, update=_update(operation, "due", "not_done", next_epoch=True), facts=(fact,))


def conclude_without_intent(operation: Claimed) -> CallResult:
    """Refuse a call about the payment's own intent if the create before it was refused."""
    return CallResult(operation=operation, update=_update(operation, "refused", NO_INTENT))


def _conclude_refund_lookup(operation: Claimed, outcome: Done, fact: RefundListFact) -> CallResult:
    """Map a list of refunds to a result. A refund that two reads did not find is parked with its reservation.

    A second refund could not be taken back. Before the first attempt, a single read is enough. It costs one extra call
    per refund. Without it, a job repeated after a restore would pay twice once the provider has forgotten the key.
    """
    if operation.kind is Kind.RETRIEVE or any(refund.refund_id == operation.id for refund in fact.refunds):
        return _final(operation, "done", "found", outcome, fact)
    if operation.looks_first and fact.whole:
        update = _update(operation, "due", NOTHING_YET, request_id=outcome.request_id, next_epoch=True)
        return CallResult(operation=operation, update=update, facts=(fact,))
    undecided = _retry_lookup(operation) if fact.whole else None
    if undecided is not None:
        return replace(undecided, facts=(fact,))
    return _final(
        operation, "parked", "refund_not_found", outcome, fact, detail="Check for the refund at the provider."
    )


def _retry_lookup(operation: Claimed) -> CallResult | None:
    """Schedule another lookup, or return None after two empty reads that are far enough apart."""
    last = operation.last_outcome or "unknown"
    sent = operation.last_sent_at
    if sent is not None and (operation.claimed_at - sent).total_seconds() < SEND_WINDOW_S:
        return _retry(operation, last, None, code="too_early", delay_s=SEND_WINDOW_S)
    first = operation.empty_read_at
    if first is not None and (operation.claimed_at - first).total_seconds() >= EMPTY_READS_APART_S:
        return None
    delay_s = EMPTY_READS_APART_S + 1
    update = _update(operation, "due", last, code="found_nothing", delay_s=delay_s, empty_read=True)
    return CallResult(operation=operation, update=update)


def retry_when_unblocked(result: CallResult) -> CallResult:
    """Keep the operation due: a run of refusals is a fault of the service or the account, not of the payment."""
    update = replace(result.update, state="due", outcome="blocked", delay_s=BACKOFF_BASE_S)
    return replace(result, update=update, unexpected_refusal=False)


def _release_reservation(result: CallResult) -> CallResult:
    """Add a fact that releases the reservation of a refused refund, unless the provider's response already has one."""
    operation, update = result.operation, result.update
    if operation.kind is not Kind.REFUND or any(isinstance(fact, RefundRefused) for fact in result.facts):
        return result
    at = int(operation.claimed_at.timestamp())
    fact = RefundRefused(
        refund_id=operation.id, code=update.code, reason=update.detail, at=at, source=f"answer:{operation.id}"
    )
    return replace(result, facts=(*result.facts, fact))


def _update(operation: Claimed, state: str, outcome: str, **rest: object) -> OperationUpdate:
    return OperationUpdate(id=operation.id, attempt=operation.attempt, state=state, outcome=outcome, **rest)  # type: ignore[arg-type]


def _final(
    operation: Claimed,
    state: str,
    name: str,
    outcome: Outcome,
    fact: AnyFact | None,
    *,
    code: str = "",
    detail: str = "",
    needs_read: bool = False,
    unexpected_refusal: bool = False,
) -> CallResult:
    return CallResult(
        operation=operation,
        update=_update(operation, state, name, code=code, detail=detail, request_id=outcome.request_id),
        facts=(fact,) if fact is not None else (),
        needs_read=needs_read,
        unexpected_refusal=unexpected_refusal,
    )


def _retry(
    operation: Claimed,
    name: str,
    outcome: Outcome | None,
    *,
    code: str,
    delay_s: float,
    resolving: bool = False,
    blocked: Blocked | None = None,
) -> CallResult:
    request_id = outcome.request_id if outcome is not None else ""
    return CallResult(
        operation=operation,
        update=_update(operation, "due", name, code=code, request_id=request_id, delay_s=delay_s, resolving=resolving),
        blocked=blocked,
    )
