"""The kinds of planted differences, each with the code that a run must report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Objects = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of difference.

    `template`: the payment that is copied. `sql`: the edits of our rows; $1 are the payments, $2 a clean paid payment
    for each. `objects`: the edit of the provider's objects. `subject`: table and number of the object reported.
    `object_s` and `row_s`: seconds from a border of the window (None: any time within it).
    """

    name: str
    template: str
    code: str
    repaired: bool = False
    sql: tuple[str, ...] = ()
    objects: Callable[[Objects], None] = lambda _objects: None
    subject: tuple[str, int] = ("payment_intent", 0)
    invented_id: str = ""
    border: str = ""
    object_s: int = 0
    row_s: int = 0


CHARGE: Final = ("charge", 0)
REFUND: Final = ("refund", 0)
DISPUTE: Final = ("dispute", 0)
SECOND_INTENT: Final = ("payment_intent", 1)
SECOND_CHARGE: Final = ("charge", 1)
OTHER: Final = "00000000-0000-0000-0000-00000000f00d"
"""Stands for a clean paid payment."""

_ROWS: Final = "UPDATE payments SET {} WHERE id = ANY ($1::uuid[]) AND cardinality($2::uuid[]) > 0"
_REFUNDS: Final = "UPDATE refunds SET {} WHERE payment_id = ANY ($1::uuid[]) AND cardinality($2::uuid[]) > 0"
_DELETE: Final = "DELETE FROM {} WHERE {} = ANY ($1::uuid[]) AND cardinality($2::uuid[]) > 0"
_INSERT_REFUND: Final = (
    "INSERT INTO refunds (id, payment_id, provider, provider_refund_id, amount, currency, status, external)"
    " SELECT gen_random_uuid(), id, provider, 're_3Gone' || order_id, {}, currency, 'succeeded', true FROM payments"
    " WHERE id = ANY ($1::uuid[]) AND cardinality($2::uuid[]) > 0"
)
_INSERT_DISPUTE: Final = (
    "INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, fact_rank,"
    " fact_at, fact_precedence, fact_source)"
    " SELECT gen_random_uuid(), id, provider, 'du_3Gone' || order_id, amount, currency, 'lost', 'fraudulent', 3, 0, 1, 's'"
    " FROM payments WHERE id = ANY ($1::uuid[]) AND cardinality($2::uuid[]) > 0"
)
_AT_BORN: Final = (
    "UPDATE {0} SET created_at = p.created_at FROM payments p"
    " WHERE p.id = {0}.payment_id AND p.id = ANY ($1::uuid[]) AND cardinality($2::uuid[]) > 0"
)


def rows(assignments: str) -> tuple[str, ...]:
    """Return the edit of payments."""
    return (_ROWS.format(assignments),)


def _lose(objects: Objects) -> None:
    objects.clear()


def _name_other(objects: Objects) -> None:
    objects[0][1]["metadata"]["payment_id"] = OTHER


def _freeze(objects: Objects) -> None:
    """Give the intent a status that no version of the API has."""
    objects[0][1]["status"] = "frozen"


def _edit_amount(objects: Objects) -> None:
    """The provider's object has another amount than the order, as if it were edited."""
    objects[0][1]["amount"] = 2990


_DELETIONS: Final = tuple(
    _DELETE.format(table, column)
    for table, column in (
        ("payment_history", "payment_id"),
        ("operations", "payment_id"),
        ("refunds", "payment_id"),
        ("disputes", "payment_id"),
        ("payments", "id"),
    )
)

_MOVE_REFUNDS: Final = (
    (
        "UPDATE refunds r SET payment_id = v.other FROM unnest($1::uuid[], $2::uuid[]) AS v (id, other)"
        " WHERE r.payment_id = v.id"
    ),
    "UPDATE payments p SET refunded = 500 FROM unnest($1::uuid[], $2::uuid[]) AS v (id, other) WHERE p.id = v.other",
    *rows("refunded = 0"),
)

KINDS: Final = (
    # Certain: the provider's object decides.
    Kind(name="paid without a webhook", template="late", code="status_differs", repaired=True),
    Kind(
        name="status set back",
        template="paid",
        code="status_differs",
        repaired=True,
        sql=rows("status = 'pending', captured = 0, paid_at = NULL"),
    ),
    Kind(
        name="canceled payment set back",
        template="canceled",
        code="status_differs",
        repaired=True,
        sql=rows("status = 'pending'"),
    ),
    Kind(
        name="intent not recorded",
        template="open",
        code="intent_not_recorded",
        repaired=True,
        sql=rows("provider_payment_id = NULL, status = 'created', fact_rank = NULL"),
    ),
    Kind(name="captured externally", template="captured-externally", code="captured_externally", repaired=True),
    Kind(name="canceled externally", template="canceled-externally", code="canceled_externally", repaired=True),
    Kind(
        name="captured edited",
        template="paid",
        code="captured_differs",
        repaired=True,
        sql=rows("captured = 990"),
    ),
    Kind(
        name="method edited",
        template="paid",
        code="method_differs",
        repaired=True,
        sql=rows("payment_method_type = 'sepa_debit'"),
        subject=CHARGE,
    ),
    Kind(
        name="refunded externally",
        template="refunded-externally",
        code="refund_unknown",
        repaired=True,
        subject=REFUND,
    ),
    Kind(
        name="refund row deleted",
        template="refunded",
        code="refund_unknown",
        repaired=True,
        sql=(_DELETE.format("refunds", "payment_id"), *rows("refunded = 0")),
        subject=REFUND,
    ),
    Kind(
        name="refund set back",
        template="refunded",
        code="refund_status_differs",
        repaired=True,
        sql=(_REFUNDS.format("status = 'pending'"), *rows("refunded = 0, reserved = 500")),
        subject=REFUND,
    ),
    Kind(
        name="refund failed without a webhook",
        template="refund-failed",
        code="refund_status_differs",
        repaired=True,
        subject=REFUND,
    ),
    Kind(
        name="dispute without a webhook",
        template="disputed-late",
        code="dispute_unknown",
        repaired=True,
        subject=DISPUTE,
    ),
    Kind(
        name="dispute row deleted",
        template="disputed",
        code="dispute_unknown",
        repaired=True,
        sql=(_DELETE.format("disputes", "payment_id"),),
        subject=DISPUTE,
    ),
    Kind(
        name="dispute closed without a webhook",
        template="dispute-lost",
        code="dispute_differs",
        repaired=True,
        subject=DISPUTE,
    ),
    Kind(name="unpaid second intent", template="second", code="second_intent", repaired=True, subject=SECOND_INTENT),
    # Clock edges.
    Kind(
        name="paid at the first second of the window",
        template="late",
        code="status_differs",
        repaired=True,
        border="since",
    ),
    Kind(
        name="paid at the last second of the window",
        template="late",
        code="status_differs",
        repaired=True,
        border="until",
    ),
    Kind(
        name="intent before the window, row in it",
        template="late",
        code="status_differs",
        repaired=True,
        border="since",
        object_s=-1,
        row_s=1,
    ),
    Kind(
        name="intent in the window, row after it",
        template="late",
        code="status_differs",
        repaired=True,
        border="until",
        row_s=2,
    ),
    # An operator decides.
    Kind(name="payment deleted", template="paid", code="payment_unknown", sql=_DELETIONS),
    Kind(name="intent lost", template="paid", code="payment_missing_at_provider", objects=_lose),
    Kind(name="intent of two payments", template="paid", code="intent_of_two_payments", objects=_name_other),
    Kind(name="charged twice", template="twice", code="duplicate_charge", subject=SECOND_INTENT),
    Kind(name="orphan charge", template="orphan", code="orphan_charge", subject=SECOND_CHARGE),
    Kind(name="amount edited", template="paid", code="amount_differs", sql=rows("amount = 2990")),
    Kind(name="amount edited at the provider", template="open", code="amount_differs", objects=_edit_amount),
    Kind(name="currency edited", template="paid", code="currency_differs", sql=rows("currency = 'usd'")),
    Kind(
        name="status set forward",
        template="open",
        code="status_differs",
        sql=rows("status = 'succeeded', captured = amount, payment_method_type = 'card'"),
    ),
    Kind(name="order edited in the metadata", template="renamed", code="metadata_differs"),
    Kind(name="deployment removed from the metadata", template="unnamed", code="metadata_differs"),
    Kind(name="intent in a state of no version", template="paid", code="malformed_intent", objects=_freeze),
    Kind(
        name="refund lost",
        template="paid",
        code="refund_missing_at_provider",
        sql=(_INSERT_REFUND.format(500), _AT_BORN.format("refunds"), *rows("refunded = 500")),
        invented_id="re_3Gone",
    ),
    Kind(
        # Before 2025-03-31.basil a partial capture created a Refund of the rest
        # (https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow).
        name="release of an older version booked as a refund",
        template="part-captured",
        code="refund_missing_at_provider",
        sql=(_INSERT_REFUND.format(990), _AT_BORN.format("refunds"), *rows("refunded = 990")),
        invented_id="re_3Gone",
    ),
    Kind(
        name="refund amount edited",
        template="refunded",
        code="refund_amount_differs",
        sql=(_REFUNDS.format("amount = 400"), *rows("refunded = 400")),
        subject=REFUND,
    ),
    Kind(
        name="refund moved",
        template="refunded",
        code="refund_of_another_payment",
        sql=_MOVE_REFUNDS,
        subject=REFUND,
    ),
    Kind(
        name="dispute lost",
        template="paid",
        code="dispute_missing_at_provider",
        sql=(_INSERT_DISPUTE, _AT_BORN.format("disputes")),
        invented_id="du_3Gone",
    ),
)
OUTSIDE: Final = (
    Kind(name="before the window", template="late", code="", border="since", object_s=-1, row_s=-1),
    Kind(name="after the window", template="late", code="", border="until", object_s=1, row_s=2),
)
"""Differences outside the window, which a run must not report."""
