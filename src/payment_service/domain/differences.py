"""Name the differences that reconciliation finds between provider, database and topics, each with a reason code.

Rule: a difference never ends a payment. It is repaired by a fact that goes through `apply`, or it needs attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payment_service.domain.consistency import RECORD_ACTIONS, ROW_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


class Sides(StrEnum):
    """The two sides of a comparison."""

    PROVIDER = "provider"  # objects of the provider against our rows, in both directions
    EVENTS = "events"  # the provider's events against the stored events
    ROWS = "rows"  # our rows against each other
    TOPICS = "topics"  # published records against our rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference. `code`: a key of the catalog of differences. `subject`: the id of the object that differs.

    `detail`: both values, in words. `at`: the time by which a window contains the object (None: that of its payment).
    `repaired`: the difference was certain and the repair is committed.
    """

    sides: Sides
    code: str
    subject: str
    payment_id: UUID | None
    detail: str
    at: datetime | None = None
    repaired: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Return the identity of the difference: a second run finds the same one."""
        return self.code, self.subject


@dataclass(frozen=True, slots=True)
class Code:
    """A kind of difference. `action`: the sentence that says what to do.

    `certain`: the provider's object decides, and its fact repairs our row. A difference of a certain code stays open if
    `apply` does not accept the fact.
    """

    certain: bool
    action: str


# Codes of intents.
PAYMENT_UNKNOWN: Final = "payment_unknown"
PAYMENT_MISSING: Final = "payment_missing_at_provider"
INTENT_NOT_RECORDED: Final = "intent_not_recorded"
INTENT_OF_TWO: Final = "intent_of_two_payments"
SECOND_INTENT: Final = "second_intent"
DUPLICATE_CHARGE: Final = "duplicate_charge"
AMOUNT_DIFFERS: Final = "amount_differs"
CURRENCY_DIFFERS: Final = "currency_differs"
STATUS_DIFFERS: Final = "status_differs"
CAPTURED_EXTERNALLY: Final = "captured_externally"
CANCELED_EXTERNALLY: Final = "canceled_externally"
CAPTURED_DIFFERS: Final = "captured_differs"
METADATA_DIFFERS: Final = "metadata_differs"
# Codes of charges, refunds and disputes.
ORPHAN_CHARGE: Final = "orphan_charge"
METHOD_DIFFERS: Final = "method_differs"
REFUND_UNKNOWN: Final = "refund_unknown"
REFUND_MISSING: Final = "refund_missing_at_provider"
REFUND_OF_ANOTHER: Final = "refund_of_another_payment"
REFUND_AMOUNT_DIFFERS: Final = "refund_amount_differs"
REFUND_STATUS_DIFFERS: Final = "refund_status_differs"
DISPUTE_UNKNOWN: Final = "dispute_unknown"
DISPUTE_MISSING: Final = "dispute_missing_at_provider"
DISPUTE_DIFFERS: Final = "dispute_differs"
MALFORMED_INTENT: Final = "malformed_intent"
MALFORMED_CHARGE: Final = "malformed_charge"
MALFORMED_REFUND: Final = "malformed_refund"
MALFORMED_DISPUTE: Final = "malformed_dispute"
# Codes of events.
EVENT_MISSING: Final = "event_missing"

_MALFORMED: Final = Code(
    certain=False, action="The service cannot read this object. Look at it at the provider, and report it as a bug."
)
_PROVIDER_CODES: Final[Mapping[str, Code]] = {
    PAYMENT_UNKNOWN: Code(
        certain=False,
        action="The database has no payment for an intent of this deployment. Read the order's record again from Kafka, or "
        "restore the row. If nobody ordered it, refund or cancel the intent at the provider.",
    ),
    PAYMENT_MISSING: Code(
        certain=False,
        action="The provider has no such intent. Check that STRIPE_SECRET_KEY is of the account and mode that created it. If it "
        "is, correct `provider_payment_id`.",
    ),
    INTENT_NOT_RECORDED: Code(
        certain=True, action="If it stays open, the payment had ended. Cancel or refund the intent at the provider."
    ),
    INTENT_OF_TWO: Code(
        certain=False,
        action="The metadata of the intent name another payment than our row. Find out which order was paid, and correct the "
        "row or the metadata.",
    ),
    SECOND_INTENT: Code(
        certain=True,
        action="The unpaid second intent of the payment is canceled. If it stays open, cancel it at the provider.",
    ),
    DUPLICATE_CHARGE: Code(
        certain=False, action="A second intent of the payment holds money. Refund or cancel it at the provider."
    ),
    AMOUNT_DIFFERS: Code(
        certain=False,
        action="Compare both amounts with the order. Correct the row if the order agrees with the provider. Otherwise refund "
        "the difference.",
    ),
    CURRENCY_DIFFERS: Code(
        certain=False,
        action="Compare both currencies with the order. Correct the row if the order agrees with the provider. Otherwise "
        "refund the payment.",
    ),
    STATUS_DIFFERS: Code(
        certain=True,
        action="If it stays open, our row has a status that the provider's status cannot follow. Compare the timeline with "
        "the provider's, then correct the row or refund the payment.",
    ),
    CAPTURED_EXTERNALLY: Code(certain=True, action="If it stays open, compare the timeline with the provider's."),
    CANCELED_EXTERNALLY: Code(certain=True, action="If it stays open, compare the timeline with the provider's."),
    CAPTURED_DIFFERS: Code(
        certain=True,
        action="If it stays open, our row has more than the provider captured. Compare its refunds with the provider's, and "
        "correct the row.",
    ),
    METADATA_DIFFERS: Code(
        certain=False,
        action="Set the metadata `deployment`, `order_id` and `payment_id` of the intent at the provider as our row has them.",
    ),
    ORPHAN_CHARGE: Code(
        certain=False,
        action="A charge with our metadata belongs to no intent of a payment. Refund it at the provider, or find its order.",
    ),
    METHOD_DIFFERS: Code(certain=True, action="If it stays open, compare the charge with the payment."),
    REFUND_UNKNOWN: Code(
        certain=True,
        action="If it stays open, the refunds exceed the captured amount. Compare the refunds with the provider's.",
    ),
    REFUND_MISSING: Code(
        certain=False,
        action="The provider has no such refund, so the customer may have no money. Check the refund at the provider, then "
        "correct the row.",
    ),
    REFUND_OF_ANOTHER: Code(
        certain=False, action="The refund belongs to another payment here than at the provider. Correct the row."
    ),
    REFUND_AMOUNT_DIFFERS: Code(
        certain=False, action="The provider refunded another amount than our row says. Correct the row."
    ),
    REFUND_STATUS_DIFFERS: Code(
        certain=True,
        action="If it stays open, our row has a status that the provider's status cannot follow. Correct the row.",
    ),
    DISPUTE_UNKNOWN: Code(
        certain=True, action="If it stays open, the payment is not captured here. Compare it with the provider."
    ),
    DISPUTE_MISSING: Code(certain=False, action="The provider has no such dispute. Check the account and the mode."),
    DISPUTE_DIFFERS: Code(
        certain=True,
        action="If it stays open, our row has a status that the provider's status cannot follow. Correct the row.",
    ),
    MALFORMED_INTENT: _MALFORMED,
    MALFORMED_CHARGE: _MALFORMED,
    MALFORMED_REFUND: _MALFORMED,
    MALFORMED_DISPUTE: _MALFORMED,
}
_EVENT_CODES: Final[Mapping[str, Code]] = {
    EVENT_MISSING: Code(
        certain=True,
        action="The webhook of this event never arrived. If it stays open, see `attention list`, and check the endpoint.",
    ),
}
CATALOG: Final[Mapping[str, Code]] = MappingProxyType({**_PROVIDER_CODES, **_EVENT_CODES})
"""Every code, with its action."""

# The code of a row that a newer version wrote.
_UNLISTED: Final = Code(certain=False, action="This version does not know the code. Use the version that wrote it.")


def describe(code: str) -> Code:
    """Return the entry of a code in the catalog, or that of our own data (`consistency.py`), which is never certain."""
    if code in CATALOG:
        return CATALOG[code]
    action = ROW_ACTIONS.get(code) or RECORD_ACTIONS.get(code)
    return Code(certain=False, action=action) if action else _UNLISTED
