"""Write `docs/state-machines.md` from the state machine itself: what follows what, and what is announced. A test compares."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from payment_service.db.operations import Claimed
from payment_service.domain.events import Announcement, Failed
from payment_service.domain.payment import (
    CANCELABLE,
    STANDING,
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
from payment_service.domain.refund import REFUND_STANDING
from payment_service.domain.unpaid import WORDS, ends_unpaid
from payment_service.flows.calls.outcomes import CallResult, conclude
from payment_service.provider import port
from payment_service_events.currency import currency
from payment_service_events.money import Money

ROOT: Final = Path(__file__).resolve().parents[1]
PATH: Final = ROOT / "docs" / "state-machines.md"

MEANING: Final = {
    Status.CREATED: "the row and its `create` operation exist; the provider may not have heard of it",
    Status.PENDING: "the intent exists; the customer has yet to pay",
    Status.REQUIRES_ACTION: "the customer has to confirm, 3-D Secure for instance",
    Status.PROCESSING: "the bank is at it",
    Status.DECLINED: "an attempt was turned down; the customer may try again on the same intent",
    Status.AUTHORIZED: "the money is held, and not captured yet",
    Status.SUCCEEDED: "the money was captured",
    Status.CANCELED: "the intent was canceled and can't be paid any more",
    Status.FAILED: "the provider refused for good to make an intent",
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
# One outcome of each class, and what sets it apart where a class ends in two ways.
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
    """An intent of the sample payment in a status."""
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


def announced(before: Status, after: Status) -> tuple[Announcement, ...]:
    """Ask the state machine what it announces when a payment goes from one status to another."""
    fact: Fact = intent_fact(after)
    payment = replace(SAMPLE, status=before)
    if after is Status.FAILED:
        fact = RefusedFact(code="", reason="", at=1, source="answer")
        payment = replace(payment, provider_payment_id=None)
    verdict = apply(payment, fact)
    if not isinstance(verdict, Applied) or verdict.payment.status is not after:
        message = f"A payment in {before} does not become {after} by {fact}: {verdict}"
        raise RuntimeError(message)
    return verdict.announcements


def announcements_of(after: Status) -> str:
    """Name the records that tell of a status, whatever was before."""
    ways = {_names(announced(before, after)) for before, following in TRANSITIONS.items() if after in following}
    if len(ways) > 1:
        message = f"What is announced of {after} depends on what was before: {ways}"
        raise RuntimeError(message)
    return ways.pop() if ways else ""


def diagram() -> str:
    """Draw every transition."""
    lines = ["stateDiagram-v2", "    [*] --> created"]
    lines += [f"    {before} --> {after}" for before in Status for after in Status if after in TRANSITIONS[before]]
    lines += [f"    {status} --> [*]" for status in Status if status.ended]
    return "\n".join(lines)


def status_table() -> str:
    """Tell of every status what it means, what may follow, and what is announced of it."""
    rows = ["| Status | Meaning | May become | Announced when it is reached |", "|---|---|---|---|"]
    for status in Status:
        following = ", ".join(f"`{after}`" for after in Status if after in TRANSITIONS[status])
        rows.append(
            f"| `{status}` | {MEANING[status]} | {following or 'nothing: an end'} | {announcements_of(status)} |"
        )
    return "\n".join(rows)


def standing_table() -> str:
    """Tell which fact wins."""
    rows = ["| Fact | Rank | Precedence |", "|---|---|---|"]
    return "\n".join(
        rows + [f"| `{status}` | {rank} | {precedence} |" for status, (rank, precedence) in STANDING.items()]
    )


def cancelable() -> str:
    """Name the states in which a payment may be asked to end."""
    return ", ".join(f"`{status}`" for status in Status if status in CANCELABLE) + "."


def ends_table() -> str:
    """Tell why payments end unpaid."""
    words = [(word, held) for held in (False, True) for word in ("", *WORDS)]
    first = {ends_unpaid(word, held=held): (word, held) for word, held in reversed(words)}
    rows = ["| The provider's word | Code | Reason |", "|---|---|---|"]
    for (code, reason), (word, held) in sorted(first.items()):
        rows.append(
            f"| {f'`{word}`' if word else 'another, or none'}{', after a hold' if held else ''} | `{code}` | {reason} |"
        )
    return "\n".join(rows)


def refund_table() -> str:
    """Tell which fact of a refund wins."""
    rows = ["| Fact | Rank | Precedence |", "|---|---|---|"]
    return "\n".join(
        rows + [f"| `{status}` | {rank} | {precedence} |" for status, (rank, precedence) in REFUND_STANDING.items()]
    )


def outcome_table() -> str:
    """Tell what becomes of an operation after each class of answer."""
    rows = ["| Outcome | Meaning | Operation becomes | Noted as | Next |", "|---|---|---|---|---|"]
    for outcome, apart in _OUTCOMES:
        result = conclude(_CLAIMED, outcome, jitter=lambda: 0.5)
        meaning = " ".join((inspect.getdoc(type(outcome)) or "").split())
        name, update = type(outcome).__name__ + apart, result.update
        rows.append(f"| `{name}` | {meaning} | `{update.state}` | `{update.outcome}` | {_next(result)} |")
    return "\n".join(rows)


def document() -> str:
    """Give the whole page."""
    return f"""# State machines

Made by `scripts/document_states.py` from the code; a test fails when they differ.

## A payment

`domain/payment.py`: `apply(payment, fact)` decides every status, `flows/state/fold.py` writes it.

```mermaid
{diagram()}
```

{status_table()}

`payments.initiated` is announced once, with the first fact that names the payment's intent, and so before anything else. A decline is
announced once per charge (without a charge: once per event), not after money is held or the payment has ended. An order of
total 0 goes from `created` to `succeeded` at once. `refunded` and `partially_refunded` are shown, not stored.

### Who may ask for an end

A caller (`POST /v1/payments/{{id}}/cancel`), the clock (an unpaid payment's time is over) and a cancelled order ask for the same: a create that
was never sent is taken back, and the payment is `canceled` at once; otherwise a `cancel` is queued, and the provider's answer or event is
what happened. It may be asked for in these states; the clock passes over `authorized` too:

{cancelable()}

What the provider says of the cancellation decides the code of the final `payments.failed`:

{ends_table()}

### Which fact wins

A payment keeps its greatest fact: by rank, then the provider's time in whole seconds, then precedence, then the fact's source. So the end
does not depend on the order in which facts arrive, nor on repetition.

{standing_table()}

### What is parked for a person instead

| Reason | When |
|---|---|
| `unexpected_money` | another amount or currency; another intent with our metadata that holds money; a success after another end |
| `conflict` | an end that is not the payment's, and no money |

Another intent that bears our metadata and is unpaid is canceled by an operation of its own, and never applied.

## A refund

`domain/refund.py`: pending refunds reserve a part of what was captured, those that succeeded have given it back. A refund keeps its
greatest fact, as a payment does; one that succeeded may still fail.

{refund_table()}

## An operation

A call to the provider, in `operations`: `due` → `claimed` (a worker has it) → `done`, `refused` or `parked`, or `due` again. `parked` waits
for a person, and so do later operations of the same payment. A refund, and the create of an order that comes more than 12 h late, is only
looked for at first (epoch 0, which ends as `nothing_yet`), and then sent. Sorted by `flows/calls/outcomes.py`:

{outcome_table()}
"""


def main() -> None:
    """Write the page."""
    PATH.write_text(document())


def _names(announcements: tuple[Announcement, ...]) -> str:
    return ", ".join(
        f"`{told.topic}`" + (f" (final: {str(told.final).lower()})" if isinstance(told, Failed) else "")
        for told in announcements
    )


def _next(result: CallResult) -> str:
    if result.update.state == "parked":
        return "a person; a run of ten payments blocks the kind"
    if result.update.state == "due":
        if result.blocked is not None:
            return "one probe at a time, until it works"
        return "a read tells what became of it" if result.update.resolving else "the same key again"
    return "a read" if result.read_again else ""


if __name__ == "__main__":
    main()
