"""Write `docs/state-machines.md` from the state machines: transitions, and the events of each. A test compares."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from payment_service.db.operations import Claimed
from payment_service.domain.facts_without_intent import FreeFact, RefusedFact
from payment_service.domain.payment import (
    CANCELABLE,
    STATUS_ORDER,
    TRANSITIONS,
    Applied,
    Decline,
    Fact,
    IntentFact,
    Payment,
    Status,
    apply,
)
from payment_service.domain.payment_event import PaymentEvent
from payment_service.domain.refund import REFUND_STATUS_ORDER
from payment_service.domain.unpaid import CANCELLATION_REASONS, unpaid_outcome
from payment_service.flows.calls.outcomes import CallResult, conclude
from payment_service.provider import port
from payment_service_events.currency import currency
from payment_service_events.money import Money
from payment_service_events.published_events import Failed

ROOT: Final = Path(__file__).resolve().parents[1]
PATH: Final = ROOT / "docs" / "state-machines.md"

MEANING: Final = {
    Status.CREATED: "the row and its `create` operation exist; the provider may not have received the request",
    Status.PENDING: "the intent exists; the customer has not paid yet",
    Status.REQUIRES_ACTION: "the customer must confirm, for example by 3-D Secure",
    Status.PROCESSING: "the bank processes the payment",
    Status.DECLINED: "an attempt was declined; the customer can try again on the same intent",
    Status.AUTHORIZED: "the money is held and not captured yet",
    Status.SUCCEEDED: "the money was captured",
    Status.CANCELED: "the intent was canceled and can no longer be paid",
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
# A sample outcome of each class, and its distinction where a class has two results.
_OUTCOMES: Final[tuple[tuple[port.Outcome, str], ...]] = (
    (port.Done(fact=FreeFact(at=0), request_id=""), ""),
    (port.Refused(code="", reason="", fact=None, request_id=""), ""),
    (port.WrongState(code="", fact=FreeFact(at=0), request_id=""), ""),
    (port.Transient(code="", retry_after_s=0), ""),
    (port.Unknown(code=""), ""),
    (port.Unknown(code="", replayed=True), "(replayed)"),
    (port.BalanceTooLow(code=""), ""),
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
    """Return the events of a transition."""
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
    """Name the events of a status, whatever the previous status was."""
    ways = {_names(published_events(before, after)) for before, following in TRANSITIONS.items() if after in following}
    if len(ways) > 1:
        message = f"The events of {after} depend on the previous status: {ways}"
        raise RuntimeError(message)
    return ways.pop() if ways else ""


def diagram() -> str:
    """Return a diagram of every transition."""
    lines = ["stateDiagram-v2", "    [*] --> created"]
    lines += [f"    {before} --> {after}" for before in Status for after in Status if after in TRANSITIONS[before]]
    lines += [f"    {status} --> [*]" for status in Status if status.ended]
    return "\n".join(lines)


def status_table() -> str:
    """Return a table of statuses: meaning, next statuses, events."""
    rows = ["| Status | Meaning | Next | Events when it is reached |", "|---|---|---|---|"]
    for status in Status:
        following = ", ".join(f"`{after}`" for after in Status if after in TRANSITIONS[status])
        rows.append(f"| `{status}` | {MEANING[status]} | {following or 'final'} | {topics_of(status)} |")
    return "\n".join(rows)


def fact_order_table() -> str:
    """Return a table of the precedence of facts."""
    rows = ["| Fact | Rank | Precedence |", "|---|---|---|"]
    return "\n".join(
        rows + [f"| `{status}` | {rank} | {precedence} |" for status, (rank, precedence) in STATUS_ORDER.items()]
    )


def cancelable() -> str:
    """Name the statuses in which a payment can be canceled."""
    return ", ".join(f"`{status}`" for status in Status if status in CANCELABLE) + "."


def unpaid_table() -> str:
    """Return a table of the reasons why payments end unpaid."""
    words = [(word, authorized) for authorized in (False, True) for word in ("", *CANCELLATION_REASONS)]
    first = {unpaid_outcome(word, authorized=authorized): (word, authorized) for word, authorized in reversed(words)}
    rows = ["| Reason of the provider | Code | Text |", "|---|---|---|"]
    for (code, reason), (word, authorized) in sorted(first.items()):
        rows.append(
            f"| {f'`{word}`' if word else 'another or none'}{', after an authorization' if authorized else ''} | `{code}` | {reason} |"
        )
    return "\n".join(rows)


def refund_table() -> str:
    """Return a table of the precedence of a refund's facts."""
    rows = ["| Fact | Rank | Precedence |", "|---|---|---|"]
    return "\n".join(
        rows + [f"| `{status}` | {rank} | {precedence} |" for status, (rank, precedence) in REFUND_STATUS_ORDER.items()]
    )


def outcome_table() -> str:
    """Return a table of the next state of an operation, by outcome."""
    rows = ["| Outcome | Meaning | Operation becomes | Recorded as | Next |", "|---|---|---|---|---|"]
    for outcome, apart in _OUTCOMES:
        result = conclude(_CLAIMED, outcome, jitter=lambda: 0.5)
        meaning = " ".join((inspect.getdoc(type(outcome)) or "").split())
        name, update = type(outcome).__name__ + apart, result.update
        rows.append(f"| `{name}` | {meaning} | `{update.state}` | `{update.outcome}` | {_next(result)} |")
    return "\n".join(rows)


def document() -> str:
    """Return the whole page."""
    return f"""# State machines

Generated by `scripts/document_states.py` from the code; a test fails when they differ.

## A payment

`apply(payment, fact)` in `domain/payment.py` decides every status, and `flows/state/fold.py` writes it.

```mermaid
{diagram()}
```

{status_table()}

`payments.initiated` is published once, with the first fact that names the payment's intent, and so before all other events. A
decline is published once per charge (without a charge: once per event), and not after money is held or the payment has ended. An
order of total 0 goes from `created` to `succeeded` at once. `refunded` and `partially_refunded` are derived, not stored.

### Cancellation

A client (`POST /v1/payments/{{id}}/cancel`), the expiry timer and a record of `orders.cancelled` all request the same: a `cancel`
operation is queued, and the provider's answer or event decides. If the create was never sent, it is withdrawn: the service looks for
its intent, and the payment is `canceled` if the provider has none. A cancel by the timer or by `orders.cancelled` reads the intent
first, and is sent only if the read allows it. The timer also skips `authorized`. These statuses can be canceled:

{cancelable()}

The provider's reason for the cancellation decides the code of the final `payments.failed`:

{unpaid_table()}

### Precedence of facts

A payment keeps its greatest fact: by rank, then the provider's time in whole seconds, then precedence, then the fact's source. So
the final state does not depend on the order or the repetition of facts.

{fact_order_table()}

### Facts that are parked

| Reason | Condition |
|---|---|
| `unexpected_money` | another amount or currency; another intent with our metadata that holds money; a success after another end |
| `conflict` | a final state that differs from the payment's, without money |

An unpaid stray intent with our metadata is canceled by a system-initiated operation, and never applied.

## A refund

`domain/refund.py` decides. A pending refund reserves a part of the captured amount, and a succeeded refund has returned it. A refund
keeps its greatest fact, as a payment does. A succeeded refund can still fail.

{refund_table()}

## An operation

An operation is a call to the provider, in the table `operations`: `due` → `claimed` (by a worker) → `done`, `refused`, `parked`, or `due`
again. A `parked` operation needs attention, and later operations of the same payment wait for it. For a refund, and for the create
of an order older than 12 h, the service first looks at the provider (epoch 0, which ends as `nothing_yet`), and then sends.
`flows/calls/outcomes.py` maps outcomes to states:

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
        return "needs attention; a run of ten payments blocks the kind"
    if result.update.state == "due":
        if result.blocked is not None:
            return "one probe at a time, until it works"
        return "a read finds the result" if result.update.resolving else "the same key again"
    return "a read" if result.needs_read else ""


if __name__ == "__main__":
    main()
