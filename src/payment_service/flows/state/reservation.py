"""Call slots and tokens that are reserved before the operations exist, so that these are inserted as claimed.

A create that is inserted as due is claimed a moment later: another statement, another version of the row and another entry
in the index of due operations. If a slot and a token are free and nothing waits, the insert is the claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.operations import Claimed


class Reserver(Protocol):
    """Gave a reservation, and takes it back."""

    def hold(self, operation_ids: Sequence[UUID]) -> None:
        """Count the operations as ours before they are committed, so that no look for forgotten ones releases them."""

    def begin_reserved(self, reservation: Reservation, claimed: Sequence[Claimed]) -> None:
        """Start the calls that were committed."""

    def withdraw(self, reservation: Reservation, operation_ids: Sequence[UUID]) -> None:
        """Free the slots after an error. If the operations were committed all the same, they are released."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """`calls` slots and tokens of `worker`, since `since_boot_s` by the clock that a claim uses (rule 8)."""

    reserver: Reserver
    worker: UUID
    calls: int
    since_boot_s: float
