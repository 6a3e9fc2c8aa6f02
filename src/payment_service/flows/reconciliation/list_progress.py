"""End a list that goes round in circles: a run that never ends would hold its lease, and compare nothing else."""

from __future__ import annotations

from typing import Final

from payment_service.flows.reconciliation.provider_reads import TRIES_MAX, ProviderUnavailable

# Pages of 100 objects that reach no earlier second. Stripe takes 100 writes per second (https://docs.stripe.com/rate-limits),
# so no second has 10,000 objects.
STANDSTILL_PAGES_MAX: Final = 100
_LATEST: Final = 2**63


class ListProgress:
    """The progress of a list, newest first, of objects that were created since `created_from` (seconds)."""

    def __init__(self, provider: str, created_from: int) -> None:
        self._provider = provider
        self._created_from = created_from
        self._oldest = _LATEST
        self._standstill_pages = 0
        self._restarts = 0

    def advance(self, created: int) -> None:
        """Note a page that others follow, by the time of its last object. Raise ProviderUnavailable."""
        if self._created_from <= created < self._oldest:
            self._oldest, self._standstill_pages = created, 0
            return
        self._standstill_pages += 1
        if self._standstill_pages > STANDSTILL_PAGES_MAX:
            raise self._stuck(f"{self._standstill_pages} pages reach no earlier second")

    def restart(self) -> None:
        """Note that the list begins again, as often as a page is tried. Raise ProviderUnavailable."""
        self._oldest, self._standstill_pages = _LATEST, 0
        self._restarts += 1
        if self._restarts > TRIES_MAX:
            raise self._stuck(f"its place was lost {self._restarts} times")

    def _stuck(self, why: str) -> ProviderUnavailable:
        return ProviderUnavailable(f"A list of the provider {self._provider} does not end: {why}.")
