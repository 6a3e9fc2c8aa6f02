"""Balance transactions (https://docs.stripe.com/api/balance_transactions): every change of the account's balance.

The account settles in every currency it is paid in. Amounts are therefore in the payment's currency, without an
exchange rate. A charge costs 2.9 % and 30 minor units (https://stripe.com/pricing, US cards). Stripe keeps this fee
when the charge is refunded.
"""

from __future__ import annotations

from stripe_sandbox.errors import Json, missing_resource
from stripe_sandbox.resources import balances
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id

FEE_PER_MILLE = 29
FEE_FIXED = 30

# https://docs.stripe.com/reports/reporting-categories
_CATEGORIES = {
    "charge": "charge",
    "payment": "charge",
    "refund": "refund",
    "payment_refund": "refund",
    "refund_failure": "refund_failure",
    "payment_failure_refund": "refund_failure",
}


def create(
    work: UnitOfWork,
    *,
    type: str,  # noqa: A002 (Stripe's parameter name)
    amount: int,
    fee: int,
    currency: str,
    source: str,
    description: str | None,
    available_on: int | None = None,
) -> Json:
    """Change the balance by `amount` less `fee`, in minor units; a negative `amount` leaves the account.

    `source` is the id of the charge, refund or dispute behind it. `available_on` (Unix seconds) is when the funds can
    be paid out, now by default. Type `adjustment` belongs to disputes.
    """
    transaction: Json = {
        "id": new_id("txn_3"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": work.created if available_on is None else available_on,
        "balance_type": "payments",
        "created": work.created,
        "currency": currency,
        "description": description,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": _fee_details(type, fee, currency),
        "net": amount - fee,
        "reporting_category": _CATEGORIES.get(type, "dispute" if amount < 0 else "dispute_reversal"),
        "source": source,
        "status": "pending",
        "type": type,
    }
    work.tx.put("balance_transaction", transaction["id"], transaction)
    balances.add(work, currency, amount - fee, transaction["available_on"])
    return balances.as_of(transaction, work.now)


def fee_of(amount: int) -> int:
    """Return Stripe's fee for a charge in minor units, half a unit rounded up."""
    return (amount * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    transaction = work.tx.find("balance_transaction", path["id"])
    if transaction is None:
        raise missing_resource("balance transaction", path["id"], "id")
    return Reply(balances.as_of(transaction, work.now))


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """List newest first, by `type`, `source`, `currency`, `created`. With `payout` the list is empty: there are none."""
    wanted = {name: params[name] for name in ("type", "currency", "payout") if name in params}
    sources = [params["source"]] if "source" in params else None

    def matches(transaction: Json) -> bool:
        return all(transaction.get(name) == value for name, value in wanted.items())

    page = work.tx.table("balance_transaction").page(page_query("balance transaction", params), matches, sources)
    page.rows[:] = [balances.as_of(row, work.now) for row in page.rows]
    return list_reply("/v1/balance_transactions", page)


def balance(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Return the account's balance per currency (https://docs.stripe.com/api/balance)."""
    totals = balances.totals(work) or {"usd": (0, 0)}
    return Reply(
        {
            "object": "balance",
            "available": [_balance_entry(currency, available) for currency, (available, _) in totals.items()],
            "livemode": False,
            "pending": [_balance_entry(currency, pending) for currency, (_, pending) in totals.items()],
        }
    )


def _balance_entry(currency: str, amount: int) -> Json:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


def _fee_details(kind: str, fee: int, currency: str) -> list[Json]:
    if fee == 0:
        return []
    return [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": "Dispute fee" if kind == "adjustment" else "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
