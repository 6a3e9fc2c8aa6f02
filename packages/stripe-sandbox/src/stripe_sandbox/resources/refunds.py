"""Refunds (https://docs.stripe.com/api/refunds) and their later outcomes.

A refund reduces the charge and the account's balance when it is created. If it fails or is canceled, both are restored.
The ledger records when money reached the customer (`refund.succeeded`) and when it came back (`refund.failed`). Stripe
documents no charge event for a failed refund, so none is sent.
"""

from __future__ import annotations

from stripe_sandbox.errors import ApiError, Json, invalid, missing_resource
from stripe_sandbox.resources import balance_transactions, charges, currencies, payment_methods, refund_objects
from stripe_sandbox.resources.events import emit
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.state import ledger
from stripe_sandbox.state.timers import set_timer, stop_timer
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork
from stripe_sandbox.wire.parameters import merged_metadata

SUCCESS = "refund.success"
FAILURE = "refund.failure"
PENDING_S = 15.0  # bank debits settle in 15 to 20 s in Stripe's test mode; refunds take as long here
TRACE = "refund.trace"  # the timer of a card refund whose bank reference is due
TRACE_S = 24 * 3600.0  # "within 7 days" (https://docs.stripe.com/refunds#tracing-refunds)
LATE_FAILURE_S = 30.0  # up to 30 days in live mode (https://docs.stripe.com/refunds#failed-refunds)

# https://docs.stripe.com/testing#refunds
PENDING_CARD = "pendingRefund"
FAILING_CARD = "refundFail"

EFFECTIVE = frozenset({"pending", "requires_action", "succeeded"})
"""The statuses in which a refund counts against its charge."""

# Outcomes at the customer's bank, and the statuses they can follow.
OUTCOME_ORIGINS = {
    "succeed": frozenset({"pending", "requires_action"}),
    "fail": EFFECTIVE,
    "require_action": frozenset({"pending"}),
}

_STATUS_FIELDS = ("next_action", "pending_reason")  # fields that belong to one status only
# Stripe's type names for charges paid by bank debit.
_PAYMENT_TYPES = {"refund": "payment_refund", "refund_failure": "payment_failure_refund"}


def create(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Refund the named `charge`, or the intent's; `amount` defaults to all that remains."""
    charge = _charge(work, params)
    amount = _amount(charge, params.get("amount"))
    instrument = payment_methods.instrument_of(work, work.tx.get("payment_method", charge["payment_method"]))
    pending = charges.is_debit(charge) or instrument.name == PENDING_CARD
    refund = refund_objects.new_refund(work, charge, amount, params, status="pending" if pending else "succeeded")
    transaction = _balance_transaction(work, refund, charge, "refund", -amount)
    refund["balance_transaction"] = transaction["id"]
    work.tx.put("refund", refund["id"], refund)
    charge = _with_refunded(work, charge, amount)
    emit(work, "refund.created", refund)
    emit(work, "charge.refunded", charge)
    _record(work, "refund.created", refund)
    if pending:
        set_timer(work, SUCCESS, refund["id"], PENDING_S)
    else:
        _reach_customer(work, refund)
    if instrument.name == FAILING_CARD:
        set_timer(work, FAILURE, refund["id"], LATE_FAILURE_S)
    return Reply(refund)


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(existing(work, path["id"]))


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    charges_of = {params["charge"]} if "charge" in params else None
    if "payment_intent" in params:
        attempts = {charge["id"] for charge in work.tx.owned_by("charge", params["payment_intent"])}
        charges_of = attempts if charges_of is None else attempts & charges_of
    page = work.tx.table("refund").page(page_query("refund", params), owners=charges_of)
    return list_reply("/v1/refunds", page)


def list_of_charge(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """List a charge's refunds: the route behind an expanded `charge.refunds`."""
    charge = work.tx.find("charge", path["id"])
    if charge is None:
        raise missing_resource("charge", path["id"], "charge")
    page = work.tx.table("refund").page(page_query("refund", params), owners=[charge["id"]])
    return list_reply(f"/v1/charges/{charge['id']}/refunds", page)


def update(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Update the metadata, the only mutable field."""
    refund = existing(work, path["id"])
    metadata = merged_metadata(refund["metadata"], params.get("metadata", {}))
    return Reply(_change(work, refund, {"metadata": metadata}))


def cancel(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Cancel a refund, which is possible only in `requires_action`."""
    refund = existing(work, path["id"])
    if refund["status"] != "requires_action":
        raise invalid(
            f"Refund {refund['id']} cannot be canceled because it has a status of {refund['status']}."
            " Only a refund with a status of requires_action can be."
        )
    return Reply(_reverse(work, refund, {"status": "canceled"}))


def settle(work: UnitOfWork, refund: Json, outcome: str, failure_reason: str = "unknown") -> Json:
    """Record that the customer's bank accepted the refund, returned it, or asks where to send it.

    Raises `ApiError` 400 if the refund's status does not allow it.
    """
    if refund["status"] not in OUTCOME_ORIGINS[outcome]:
        raise ApiError(
            400,
            f"Refund {refund['id']} cannot {outcome} because it has a status of {refund['status']}; it must"
            f" be one of {', '.join(sorted(OUTCOME_ORIGINS[outcome]))}.",
        )
    for kind in (SUCCESS, FAILURE):
        stop_timer(work, kind, refund["id"])
    if outcome == "succeed":
        return _succeed(work, refund)
    if outcome == "require_action":
        return _change(work, refund, {"status": "requires_action", "next_action": refund_objects.next_action(work)})
    return _reverse(work, refund, {"status": "failed", "failure_reason": failure_reason})


def succeed(work: UnitOfWork, refund_id: str) -> None:
    """Complete a pending refund when its timer fires."""
    refund = work.tx.get("refund", refund_id)
    if refund["status"] == "pending":
        _succeed(work, refund)


def fail(work: UnitOfWork, refund_id: str) -> None:
    """Fail the refund of the late-failing test card when its timer fires."""
    refund = work.tx.get("refund", refund_id)
    if refund["status"] in EFFECTIVE:
        _reverse(work, refund, {"status": "failed", "failure_reason": "unknown"})


def trace(work: UnitOfWork, refund_id: str) -> None:
    """Report the bank reference of a card refund when its timer fires."""
    refund = work.tx.get("refund", refund_id)
    if refund["status"] == "succeeded":
        _change(work, refund, {"destination_details": refund_objects.traced(refund)})


def existing(work: UnitOfWork, identifier: str) -> Json:
    refund = work.tx.find("refund", identifier)
    if refund is None:
        raise missing_resource("refund", identifier, "id")
    return refund


def _charge(work: UnitOfWork, params: Json) -> Json:
    """Return the charge to refund. Raises `ApiError` 400 if its money is not with the merchant.

    An inquiry can be answered with a refund. A chargeback has already returned the money.
    """
    charge = _named_charge(work, params)
    if charge is None or charge["status"] != "succeeded" or _is_released(work, charge):
        named = params.get("payment_intent") or params["charge"]
        raise invalid(f"{named} does not have a successful charge to refund.")
    if not charge["captured"]:
        raise invalid(
            f"The charge of {charge['payment_intent']} has not been captured, so there is nothing to refund:"
            " cancel the PaymentIntent instead, which releases its hold."
        )
    if not all(dispute["is_charge_refundable"] for dispute in work.tx.owned_by("dispute", charge["id"])):
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if charge["refunded"]:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    return charge


def _is_released(work: UnitOfWork, charge: Json) -> bool:
    """Return whether the charge's hold was released without a capture."""
    return not charge["captured"] and work.tx.get("payment_intent", charge["payment_intent"])["status"] == "canceled"


def _named_charge(work: UnitOfWork, params: Json) -> Json | None:
    if "charge" not in params and "payment_intent" not in params:
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    intent = _find(work, "payment_intent", params)
    charge = _find(work, "charge", params)
    if intent is None:
        return charge
    if charge is not None and charge["payment_intent"] != intent["id"]:
        raise invalid(f"Charge {charge['id']} does not belong to {intent['id']}.", "charge")
    return charge or work.tx.find("charge", intent["latest_charge"])


def _find(work: UnitOfWork, table: str, params: Json) -> Json | None:
    if table not in params:
        return None
    row = work.tx.find(table, params[table])
    if row is None:
        raise missing_resource(table, params[table], table, status=400)
    return row


def _amount(charge: Json, requested: int | None) -> int:
    remaining: int = charge["amount_captured"] - charge["amount_refunded"]
    if requested is None:
        return remaining
    currencies.positive(requested, "amount")
    currencies.check_multiple(requested, charge["currency"], "amount")
    if requested > charge["amount"]:
        raise invalid(_too_much(requested, "charge amount", charge["amount"], charge["currency"]), "amount")
    if requested > remaining:
        raise invalid(_too_much(requested, "unrefunded amount on charge", remaining, charge["currency"]), "amount")
    return requested


def _too_much(requested: int, limit_name: str, limit: int, currency: str) -> str:
    return f"Refund amount ({requested} {currency}) is greater than {limit_name} ({limit} {currency})"


def _succeed(work: UnitOfWork, refund: Json) -> Json:
    refund = _change(work, refund, {"status": "succeeded"})
    _reach_customer(work, refund)
    return refund


def _reach_customer(work: UnitOfWork, refund: Json) -> None:
    _record(work, "refund.succeeded", refund)
    if "card" in refund["destination_details"]:
        set_timer(work, TRACE, refund["id"], TRACE_S)


def _reverse(work: UnitOfWork, refund: Json, change: Json) -> Json:
    """Fail or cancel a refund: restore the charge and the balance."""
    charge = work.tx.get("charge", refund["charge"])
    _with_refunded(work, charge, -refund["amount"])
    reversal = _balance_transaction(work, refund, charge, "refund_failure", refund["amount"])
    failed = change["status"] == "failed"
    change = {**change, "failure_balance_transaction": reversal["id"]}
    refund = _change(work, refund, change, kind="refund.failed" if failed else "refund.updated")
    _record(work, "refund.failed" if failed else "refund.canceled", refund)
    return refund


def _change(work: UnitOfWork, refund: Json, change: Json, kind: str = "refund.updated") -> Json:
    """Store `refund` with `change`, without fields of its former status. Emits the legacy event too."""
    removed = _STATUS_FIELDS if "status" in change else ()
    changed = {name: value for name, value in refund.items() if name not in removed} | change
    if changed == refund:
        return refund
    work.tx.put("refund", refund["id"], changed)
    previous = _previous(refund, changed)
    emit(work, kind, changed, previous if kind.endswith(".updated") else None)
    emit(work, "charge.refund.updated", changed, previous)
    return changed


def _previous(old: Json, new: Json) -> Json:
    """Return the old values of what changed; of metadata, only changed keys."""
    previous = {name: old.get(name) for name in (old | new) if old.get(name) != new.get(name)}
    if "metadata" in previous:
        previous["metadata"] = _previous(old["metadata"], new["metadata"])
    return previous


def _with_refunded(work: UnitOfWork, charge: Json, amount: int) -> Json:
    refunded = charge["amount_refunded"] + amount
    charge = {**charge, "amount_refunded": refunded, "refunded": refunded == charge["amount_captured"]}
    work.tx.put("charge", charge["id"], charge)
    return charge


def _balance_transaction(work: UnitOfWork, refund: Json, charge: Json, kind: str, amount: int) -> Json:
    """Create the refund's balance transaction: Stripe keeps the charge's fee and adds none."""
    return balance_transactions.create(
        work,
        type=_PAYMENT_TYPES[kind] if charges.is_debit(charge) else kind,
        amount=amount,
        fee=0,
        currency=refund["currency"],
        source=refund["id"],
        description=None,
    )


def _record(work: UnitOfWork, effect: ledger.Effect, refund: Json) -> None:
    ledger.record(
        work,
        effect,
        work.tx.get("payment_intent", refund["payment_intent"]),
        work.tx.get("charge", refund["charge"]),
        refund["amount"],
        source=refund["id"],
        source_metadata=refund["metadata"],
    )
