"""Claim the deployment name at the provider's account, and check the claim while the process runs (I18).

Before the account has confirmed the claim, the process sends no creates: a create under a name that is another
installation's would share its intent. Webhooks and orders are taken meanwhile. A process that loses the claim sends
nothing at all.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db import installation as installations
from payment_service.db import provider_health
from payment_service.loop import Loop
from payment_service.provider.account_claims import ClaimState
from payment_service.provider.port import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.db.pool import Pool
    from payment_service.provider.account_claims import AccountClaims, ClaimAnswer, Installation

log = structlog.get_logger(__name__)

# Each check is one read. A second installation is noticed within this time, and before it by the first start of that one.
CHECK_INTERVAL_S: Final = 300.0
# Orders wait for the first confirmation, so it is retried at once. Later ones are looked for less often.
RETRY_INTERVAL_S: Final = 1.0
LOOK_INTERVAL_S: Final = 30.0
LOST: Final = frozenset({ClaimState.TAKEN, ClaimState.COPIED, ClaimState.OTHER_ACCOUNT})
CONFIRMED: Final = frozenset({ClaimState.HELD, ClaimState.NOT_PERMITTED})
KEY_REFUSED: Final = "http_401"
MOVE: Final = "run `payment-service installation move`"


class AccountClaim:
    """The claim of this process's installation at a provider's account."""

    def __init__(
        self,
        pool: Pool,
        provider: AccountClaims,
        installation: Installation,
        *,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._provider = provider
        self._installation = installation
        self._steady_s = steady_s
        self._answer: ClaimAnswer | None = None
        self._checked_s = 0.0
        self._blocked = False
        self._loop = Loop(
            "account_claim", self.check_once, interval_min_s=RETRY_INTERVAL_S, interval_max_s=RETRY_INTERVAL_S
        )

    def start(self) -> None:
        """Start the periodic check."""
        self._loop.start()

    async def stop(self) -> None:
        """Finish the check, then stop."""
        await self._loop.stop()

    @property
    def confirmed(self) -> bool:
        """Return whether this process may send creates."""
        return self._answer is not None and self._answer.state in CONFIRMED

    @property
    def lost(self) -> bool:
        """Return whether this process must send nothing."""
        return self._answer is not None and self._answer.state in LOST

    def paused_kinds(self) -> frozenset[str]:
        """Return the kinds of calls that must wait."""
        if self.lost:
            return frozenset({provider_health.EVERYTHING})
        return frozenset() if self.confirmed else frozenset({Kind.CREATE.value})

    def problem(self) -> str:
        """Return a sentence about an unconfirmed or lost claim, without ids; or an empty string."""
        if self.lost:
            return "the deployment name is claimed by another installation or account: no calls are sent"
        return "" if self.confirmed else "the claim of the deployment name is not confirmed yet: new payments wait"

    async def check_once(self) -> int:
        """Claim or check if it is due. Return 0."""
        if (self.confirmed or self.lost) and self._steady_s() - self._checked_s < CHECK_INTERVAL_S:
            return 0
        await self.claim()
        return 0

    async def claim(self) -> str:
        """Claim or check now. Return a sentence that says what to do if the claim is lost, or an empty string."""
        if (mode := self._installation.livemode) not in {None, self._provider.livemode}:
            return _wrong_mode(live=bool(mode))
        answer = await self._provider.claim(self._installation)
        if answer.state is ClaimState.COPIED and not self.confirmed and not self.lost:
            # The database was restored, copied or upgraded. The newest start takes the claim; a running original stops.
            log.warning("installation_taken_over", installation=str(self._installation.id), from_database=answer.detail)
            answer = await self._provider.claim(self._installation, move=True)
        self._checked_s = self._steady_s()
        await self._accept(answer)
        return explain(self._installation, answer)

    async def _accept(self, answer: ClaimAnswer) -> None:
        if answer.detail == KEY_REFUSED and not self.confirmed:
            await self._block()
        if answer.state is ClaimState.UNAVAILABLE and self._answer is not None:
            return  # the last answer stands
        before, self._answer = self._answer, answer
        if self.confirmed or self.lost:
            self._loop.look_every(LOOK_INTERVAL_S)
        if before is not None and before.state is answer.state:
            return
        if answer.state in LOST:
            log.error("installation_claim_lost", state=answer.state, detail=answer.detail)
            return
        log.info("installation_claim", state=answer.state, detail=answer.detail)
        if answer.state in CONFIRMED:
            await self._unblock()
            held = answer.state is ClaimState.HELD
            self._installation = await installations.confirm(
                self._pool, account=answer.account, livemode=self._provider.livemode, claimed=held
            )

    async def _block(self) -> None:
        """Block all calls: without a confirmed claim, no create is sent that could show that the key is refused."""
        if not self._blocked:
            log.error(
                "provider_blocked", provider=self._provider.name, kind=provider_health.EVERYTHING, reason=KEY_REFUSED
            )
        self._blocked = True
        await provider_health.block(self._pool, self._provider.name, provider_health.EVERYTHING, KEY_REFUSED)

    async def _unblock(self) -> None:
        if self._blocked and (kinds := await provider_health.recover(self._pool, self._provider.name, ())):
            log.warning("provider_unblocked", provider=self._provider.name, kinds=kinds)
        self._blocked = False


def explain(installation: Installation, answer: ClaimAnswer) -> str:
    """Return a sentence for an operator about a lost claim, or an empty string."""
    name = installation.deployment
    match answer.state:
        case ClaimState.TAKEN:
            return (
                f"The deployment name {name!r} belongs to another installation ({answer.detail}) at this Stripe account."
                f" Set DEPLOYMENT to another name; or, if that installation is gone for good, {MOVE}."
            )
        case ClaimState.COPIED:
            return (
                f"The deployment name {name!r} is in use by another copy of this database ({answer.detail}). Stop that"
                " copy, or give it another Stripe key and DEPLOYMENT; then restart this process."
            )
        case ClaimState.OTHER_ACCOUNT:
            return (
                f"This database belongs to the Stripe account {installation.account or 'of its first start'}, and the key"
                f" belongs to {answer.detail}. Set that account's STRIPE_SECRET_KEY; or, if the move is intended, {MOVE}."
            )
        case _:
            return ""


def _wrong_mode(*, live: bool) -> str:
    stored, given = ("live", "test") if live else ("test", "live")
    return (
        f"This database belongs to Stripe's {stored} mode, and STRIPE_SECRET_KEY is a {given} key. Use a {stored} key or"
        f" another database; or, if the move is intended, {MOVE}."
    )
