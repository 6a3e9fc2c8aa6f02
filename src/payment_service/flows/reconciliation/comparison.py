"""A comparison: it looks at a window in small steps, and records what differs in the journal of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from payment_service.domain.differences import Sides
    from payment_service.flows.reconciliation.journal import Journal


class Comparison(Protocol):
    """A comparison of a run. `name` identifies it in the progress of the run."""

    name: str
    sides: Sides

    async def compare(self, journal: Journal, position: str) -> None:
        """Compare the window of the journal, from `position` (empty: the beginning). Raise Interrupted, LeaseLost,
        ProviderUnavailable.
        """
        ...
