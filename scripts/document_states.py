"""Write `docs/state-machines.md` from the state machine itself: transitions and published events. A test compares."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from payment_service.db.operations import Claimed
from payment_service.domain.events import PaymentEvent
from payment_service.domain.payment import (
    CANCELABLE,
    STATUS_ORDER,
    TRANSITIONS,
    Applied,
    Decline,
    Fact,
    FreeFact,
    IntentFact,
    Payment,
    RefusedFact,
    Status,
    apply,
)
from payment_service.domain.refund import REFUND_STATUS_ORDER
from payment_service.domain.unpaid import CANCELLATION_REASONS, unpaid_outcome
from payment_service.flows.calls.outcomes import CallResult, conclude
from payment_service.provider import port
from payment_service_events.currency import currency
from payment_service_events.money import Money
from payment_service_events.types import Failed

ROOT: Final = Path(__file__).resolve().parents[1]
PATH: Final = ROOT / "docs" / "state-machines.md"

MEANING: Final = {
    Status.CREATED: "the row and its `create` operation exist; the provider may not have the intent yet",
    Status.PENDING: "the intent exists; the customer has not paid yet",
    Status.REQUIRES_ACTION: "the customer has to confirm, for example with 3-D Secure",
    Status.PROCESSING: "the bank is processing the payment",
    Status.DECLINED: "an attempt was declined; the customer may try again on the same intent",
    Status.AUTHORIZED: "the money is authorized and not captured yet",
    Status.SUCCEEDED: "the money was captured",
    Status.CANCELED: "the intent was canceled and cannot be paid any more",
    Status.FAILED: "the provider finally refused to create an intent",
}

_EUR: Final = currency("eur")
_AMOUNT: Final = Money(1990, _EUR)
_NOTHING: Final = Money(0, _EUR)
_INTENT: Final = "pi_example"
SAMPLE: Final = Payment(
    id=UUID(int=1),
    order_id="order",
    attempt=1,
    user_id="",
    provider="stripe",
    provider_payment_id=_INTENT,
    amount=_AMOUNT,
    captured=_NOTHING,
    refunded=_NOTHING,
    reserved=_NOTHING,
    status=Status.CREATED,
    method=None,
    sequence=0,
    key=None,
    declines=(),
    paid_at=None,
)
_CLAIMED: Final = Claimed(
    id=UUID(int=2),
    payment_id=SAMPLE.id,
    kind=port.Kind.CREATE,
    cause="order",
    request=port.Request(method="POST", path="/", body="", api_version=""),
    epoch=1,
    attempt=1,
    tries=1,
    resolving=False,
    last_outcome=None,
    first_sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    last_sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    empty_read_at=None,
    due_at=datetime(2026, 1, 1, tzinfo=UTC),
    claimed_at=datetime(2026, 1, 1, tzinfo=UTC),
)
# An outcome of each class, with a label if a class has two results.
_OUTCOMES: Final[tuple[tuple[port.Outcome, str], ...]] = (
    (port.Done(fact=FreeFact(at=0), request_id=""), ""),
    (port.Refused(code="", reason="", fact=None, request_id=""), ""),
    (port.WrongState(code="", fact=FreeFact(at=0), request_id=""), ""),
    (port.Transient(code="", retry_after_s=0), ""),
    (port.Unknown(code=""), ""),
    (port.Unknown(code="", replayed=True), "(replayed)"),
    (port.Blocked(code="", kind=None, request_id=""), ""),
    (port.Misused(code="", request_id=""), ""),
    (port.Unexpected(code="", detail="", request_id=""), ""),
)


def intent_fact(status: Status) -> IntentFact:
    """Return an intent of the sample payment in a status."""
    return IntentFact(
        intent_id=_INTENT,
        status=status,
        at=1,
        source="evt_example",
        from_event=True,
        amount=_AMOUNT,
        received=_AMOUNT if status is Status.SUCCEEDED else _NOTHING,
        method="card",
        decline=Decline(code="generic_decline", reason="", charge_id="ch_example")
        if status is Status.DECLINED
        else None,
    )


def published_events(before: Status, after: Status) -> tuple[PaymentEvent, ...]:
    """Return the events that the state machine publishes for a transition."""
    fact: Fact = intent_fact(after)
    payment = replace(SAMPLE, status=before)
    if after is Status.FAILED:
        fact = RefusedFact(code="", reason="", at=1, source="answer")
        payment = replace(payment, provider_payment_id=None)
    verdict = apply(payment, fact)
    if not isinstance(verdict, Applied) or verdict.payment.status is not after:
        message = f"A payment in {before} does not become {after} by {fact}: {verdict}"
        raise RuntimeError(message)
    return verdict.events


def topics_of(after: Status) -> str:
    """Return the topics that are published when a payment reaches a status."""
    ways = {_names(published_events(before, after)) for before, following in TRANSITIONS.items() if after in following}
    if len(ways) > 1:
        message = f"The events of {after} depend on the status before: {ways}"
        raise RuntimeError(message)
    return ways.pop() if ways else ""


def diagram() -> str:
    """Draw every transition."""
    lines = ["stateDiagram-v2", "    [*] --> created"]
    lines += [f"    {before} --> {after}" for before in Status for after in Status if after in TRANSITIONS[before]]
    lines += [f"    {status} --> [*]" for status in Status if status.ended]
    return "\n".join(lines)


def status_table() -> str:
    """Return every status with its meaning, its transitions and its events."""
    rows = ["| Status | Meaning | May become | Events when reached |", "|---|---|---|---|"]
    for status in Status:
        following = ", ".join(f"`{after}`" for after in Status if after in TRANSITIONS[status])
        rows.append(f"| `{status}` | {MEANING[status]} | {following or 'nothing: final'} | {topics_of(status)} |")
    return "\n".join(rows)


def fact_order_table() -> str:
    """Return the order of facts."""
    rows = ["| Fact | Rank | Precedence |", "|---|---|---|"]
    return "\n".join(
        rows + [f"| `{status}` | {rank} | {precedence} |" for status, (rank, precedence) in STATUS_ORDER.items()]
    )


def cancelable() -> str:
    """Return the statuses in which a cancel may be requested."""
    return ", ".join(f"`{status}`" for status in Status if status in CANCELABLE) + "."


def unpaid_table() -> str:
    """Return the codes with which payments end unpaid."""
    words = [(word, authorized) for authorized in (False, True) for word in ("", *CANCELLATION_REASONS)]
    first = {unpaid_outcome(word, authorized=authorized): (word, authorized) for word, authorized in reversed(words)}
    rows = ["| The provider's reason | Code | Reason |", "|---|---|---|"]
    for (code, reason), (word, authorized) in sorted(first.items()):
        rows.append(
            f"| {f'`{word}`' if word else 'another or none'}{', after an authorization' if authorized else ''} | `{code}` | {reason} |"
        )
    return "\n".join(rows)


def refund_table() -> str:
    """Return the order of a refund's facts."""
    rows = ["| Fact | Rank | Precedence |", "|---|---|---|"]
    return "\n".join(
        rows + [f"| `{status}` | {rank} | {precedence} |" for status, (rank, precedence) in REFUND_STATUS_ORDER.items()]
    )


def outcome_table() -> str:
    """Return the update of an operation for each class of outcome."""
    rows = ["| Outcome | Meaning | Operation becomes | Outcome recorded | Next |", "|---|---|---|---|---|"]
    for outcome, apart in _OUTCOMES:
        result = conclude(_CLAIMED, outcome, jitter=lambda: 0.5)
        meaning = " ".join((inspect.getdoc(type(outcome)) or "").split())
        name, update = type(outcome).__name__ + apart, result.update
        rows.append(f"| `{name}` | {meaning} | `{update.state}` | `{update.outcome}` | {_next(result)} |")
    return "\n".join(rows)


def document() -> str:
    """Return the whole page."""
    return f"""# State machines

`scripts/document_states.py` generates this page from the code. A test fails when they differ.

## A payment

`domain/payment.py`: `apply(payment, fact)` decides every status, `flows/state/fold.py` writes it.

```mermaid
{diagram()}
```

{status_table()}

`payments.initiated` is published once, with the first fact that names the payment's intent, and so before any other event. A
decline is published once per charge (without a charge: once per webhook), but not after an authorization or a final status. An
order of total 0 goes from `created` to `succeeded` at once. The API shows `refunded` and `partially_refunded`; they are not
stored.

### Cancellation

A client (`POST /v1/payments/{{id}}/cancel`), the clock (an unpaid payment expires) and a canceled order request the same. A create
that was never sent is withdrawn, and the payment is `canceled` at once. Otherwise a `cancel` is queued, and the provider's response
or event decides. A cancel may be requested in these statuses, but the clock skips `authorized`:

{cancelable()}

The provider's cancellation reason decides the code of the final `payments.failed`:

{unpaid_table()}

### Which fact wins

A payment keeps its greatest fact: by rank, then the provider's time in whole seconds, then precedence, then the fact's source. The
final status therefore does not depend on the order or repetition of facts.

{fact_order_table()}

### Parked facts

| Reason | When |
|---|---|
| `unexpected_money` | another amount or currency; another intent with our metadata that holds money; a success after another final status |
| `conflict` | a different final status without money |

Another unpaid intent with our metadata is never applied. A separate operation cancels it.

## A refund

`domain/refund.py`: pending refunds reserve a part of the captured amount, and successful ones have refunded it. A refund keeps its
greatest fact, as a payment does. A successful refund may still fail.

{refund_table()}

## An operation

An operation is a call to the provider: `due` → `claimed` (a worker has it) → `done`, `refused` or `parked`, or `due` again. A `parked`
operation needs an operator and blocks later operations of its payment. Refunds, and creates of orders that arrive more than 12 h
late, start with a lookup (epoch 0, which ends as `nothing_yet`) before they are sent. `flows/calls/outcomes.py` maps the outcomes:

{outcome_table()}
"""


def main() -> None:
    """Write the page."""
    PATH.write_text(document())


def _names(events: tuple[PaymentEvent, ...]) -> str:
    return ", ".join(
        f"`{event.data.topic}`"
        + (f" (final: {str(event.data.final).lower()})" if isinstance(event.data, Failed) else "")
        for event in events
    )


def _next(result: CallResult) -> str:
    if result.update.state == "parked":
        return "an operator; a run of ten payments blocks the kind"
    if result.update.state == "due":
        if result.blocked is not None:
            return "one probe at a time, until one succeeds"
        return "a read of the state" if result.update.resolving else "retry with the same key"
    return "a read" if result.needs_read else ""


if __name__ == "__main__":
    main()
