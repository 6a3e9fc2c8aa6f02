"""Name the differences that reconciliation finds between provider, database and topics, each with a reason code.

Rule: a difference never ends a payment. It is repaired by a fact that goes through `apply`, or it needs attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    `detail`: both values, in words. `repaired`: the difference was certain and the repair is committed.
    """

    sides: Sides
    code: str
    subject: str
    payment_id: UUID | None
    detail: str
    repaired: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Return the identity of the difference: a second run finds the same one."""
        return self.code, self.subject
