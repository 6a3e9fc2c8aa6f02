"""The dependencies that flows share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.db.clock import database_time
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.state.fold import Fold
from payment_service.provider.providers import UnknownProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool
    from payment_service.domain.payment import Payment
    from payment_service.flows.state.reservation import Reservation
    from payment_service.provider.port import Provider
    from payment_service.provider.providers import Providers


async def _reserve_nothing(_provider: str, _calls: int) -> Reservation | None:
    """Reserve no calls: without a dispatcher, operations are inserted as due."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The database, the providers, the deployment and the clocks. Call `wake_…` when that loop has work.

    `database_now` decides inside a transaction. `now` is the same clock without a query (`db/clock_skew.py`), for the times
    that records show. `may_decide` is false while the clocks disagree or a claim is lost; timers and system-initiated operations pause.
    `reserve_creates` reserves calls of a provider for operations that are inserted as claimed.
    `paused_kinds` returns the kinds of a provider's calls that this process must not send now; `*` stands for all.
    """

    pool: Pool
    providers: Providers
    deployment: str
    now: Callable[[], datetime]
    database_now: Callable[[Connection | Pool], Awaitable[datetime]] = database_time
    may_decide: Callable[[], bool] = lambda: True
    paused_kinds: Callable[[str], frozenset[str]] = lambda _provider: frozenset()
    reserve_creates: Callable[[str, int], Awaitable[Reservation | None]] = _reserve_nothing
    wake_dispatcher: Callable[[], None] = lambda: None
    wake_relay: Callable[[], None] = lambda: None

    def fold(self, locked: Mapping[UUID, Payment]) -> Fold:
        """Start folding facts into locked payments."""
        return Fold(locked, deployment=self.deployment, providers=self.providers, now=self.now())

    def provider_of(self, payment: Payment) -> Provider:
        """Return the payment's provider. Raise Refusal if it does not run in this deployment."""
        try:
            return self.providers.named(payment.provider)
        except UnknownProvider:
            message = f"The payment's provider, {payment.provider}, is not configured: add it to PROVIDERS."
            raise Refusal(RefusalReason.NOT_ALLOWED, message) from None

    def after_commit(self, fold: Fold) -> None:
        """Count the committed changes and wake the loops that have work because of them."""
        fold.count()
        if fold.has_events:
            self.wake_relay()
        if fold.has_operations:
            self.wake_dispatcher()

    def wake(self) -> None:
        """Wake the dispatcher and the relay."""
        self.wake_dispatcher()
        self.wake_relay()
