"""What becomes of an operation after an attempt. Pure: an outcome in, an ending and its facts out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from payment_service.db.operations import OperationUpdate
from payment_service.domain.payment import IntentFact, Status
from payment_service.domain.refund import RefundListFact, RefundRefused
from payment_service.provider.port import (
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

# Full jitter: a random part of 0.5 s, doubled with every try, at most 60 s.
BACKOFF_BASE_S: Final = 0.5
BACKOFF_MAX_S: Final = 60.0
# An attempt that was claimed may reach the wire for 5 s; a second more for the clocks' grain.
SEND_WINDOW_S: Final = 6.0
# Between two reads that must both find nothing before a second create may be made.
EMPTY_READS_APART_S: Final = 60.0
# Stripe forgets keys after 24 h at the earliest (https://docs.stripe.com/api/idempotent_requests); an hour is left for clocks.
KEY_VALID_H: Final = 23
# The outcome of a look at what exists before anything was sent, when that is nothing.
NOTHING_YET: Final = "nothing_yet"
# The outcome of a call that was not made, because what it was about was never made either.
NO_INTENT: Final = "no_intent"
# States in which an intent, once read, shows that a cancel did not happen.
_STILL_OPEN: Final = frozenset(
    {Status.PENDING, Status.REQUIRES_ACTION, Status.DECLINED, Status.AUTHORIZED, Status.PROCESSING}
)

# Of several intents that bear one payment's name, the first fact's becomes its own: the one that holds money, or may yet.
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
    """An attempt's ending with the facts it brought. `needs_read`: what was answered may be old, so ask for a read."""

    operation: Claimed
    update: OperationUpdate
    facts: tuple[AnyFact, ...] = ()
    needs_read: bool = False
    blocked: Blocked | None = None
    unexpected_refusal: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the provider gave an answer that shows that calls of this kind work."""
        return self.update.state in {"done", "refused"} and self.update.outcome != NO_INTENT


def conclude(operation: Claimed, outcome: Outcome, *, jitter: Callable[[], float]) -> CallResult:
    """Sort what an attempt came to. `jitter`: a random number from 0 to 1."""
    match outcome:
        case Done(fact=fact):
            return _final(operation, "done", "done", outcome, fact, needs_read=fact is None)
        case Refused(code=code, reason=reason, fact=fact):
            # A refund may be refused because others, made by hand, were there first: we want to know of them.
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
    """Sort what a listing showed of a create whose key can't help any more.

    `facts` None: it could not be listed. None among them: an intent of ours that can't be read, so a second one must not be made.
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


def conclude_lookup(operation: Claimed, outcome: Outcome, *, jitter: Callable[[], float]) -> CallResult:
    """Sort what reading showed of a cancel, capture or refund whose key can't help any more."""
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
    """End a call about the payment's own intent where none was made: the create before it was refused."""
    return CallResult(operation=operation, update=_update(operation, "refused", NO_INTENT))


def _conclude_refund_lookup(operation: Claimed, outcome: Done, fact: RefundListFact) -> CallResult:
    """A refund that two reads don't find keeps its reservation and waits for a person: a second one can't be taken back.

    Before anything was sent one read is enough. It costs a second call for each refund, of which there are few: a job that runs
    again after a backup was restored would pay twice, once the provider has forgotten its key.
    """
    if operation.kind is Kind.RETRIEVE or any(refund.refund_id == operation.id for refund in fact.refunds):
        return _final(operation, "done", "found", outcome, fact)
    if operation.looks_first and fact.whole:
        update = _update(operation, "due", NOTHING_YET, request_id=outcome.request_id, next_epoch=True)
        return CallResult(operation=operation, update=update, facts=(fact,))
    undecided = _retry_lookup(operation) if fact.whole else None
    if undecided is not None:
        return replace(undecided, facts=(fact,))
    return _final(operation, "parked", "refund_not_found", outcome, fact, detail="Look for it at the provider.")


def _retry_lookup(operation: Claimed) -> CallResult | None:
    """Look again for what a read did not find; None once two reads, far enough apart, have found nothing."""
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
    """Take a refusal back that is one of a run: the fault is ours or the account's, not this payment's."""
    update = replace(result.update, state="due", outcome="blocked", delay_s=BACKOFF_BASE_S)
    return replace(result, update=update, unexpected_refusal=False)


def backoff_s(tries: int, jitter: float) -> float:
    """Seconds to wait after the `tries`-th try: full jitter, doubling, capped."""
    return min(BACKOFF_MAX_S, BACKOFF_BASE_S * 2.0 ** min(tries, 10)) * jitter


def _release_reservation(result: CallResult) -> CallResult:
    """A refund that was refused holds nothing back any more, whether its provider words that as a fact or not."""
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
