"""Cancel unpaid payments whose time is over. The provider's response decides the result.

Payments that a bank is processing, and authorized ones, are skipped. If the customer pays in the same second, the
provider refuses the cancel and the payment succeeds.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.crash_points import reached
from payment_service.db import operations, payments
from payment_service.domain.unpaid import ABANDONED
from payment_service.flows.requests.cancel import CancelRequest, cancel
from payment_service.flows.state.batches import isolate_errors, process_batches
from payment_service.flows.state.system_operations import EXPIRED, SYSTEM
from payment_service.loop import Loop
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.db.payments import Expiring
    from payment_service.db.pool import Connection
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold

log = structlog.get_logger(__name__)

# A transaction of about 30 ms.
GROUP_MAX: Final = 100
# Deadlines are hours away, so a second late is on time.
INTERVAL_MAX_S: Final = 1.0
# A payment that is still open then was processing, or the provider was unavailable.
LOOK_AGAIN: Final = timedelta(minutes=5)


class Expiry:
    """Request the cancellation of payments whose time is over."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.loop = Loop("expiry", self.expire_once, interval_max_s=INTERVAL_MAX_S)

    def start(self) -> None:
        """Start the loop."""
        self.loop.start()

    async def stop(self) -> None:
        """Finish the round, then stop."""
        await self.loop.stop()

    async def expire_once(self) -> int:
        """Request the cancellation of due payments. Return their number."""
        if not self._context.may_decide():
            return 0
        return len(await process_batches(self._expire, GROUP_MAX, failure_event="expiry_group_failed"))

    async def _expire(self, limit: int) -> Sequence[Expiring]:
        async with self._context.pool.acquire() as connection, connection.transaction():
            now = await self._context.database_now(connection)
            due = await payments.lock_expiring(connection, now, self._context.providers.by_name.keys(), limit)
            if not due:
                return due
            await payments.postpone_expiry(connection, [one.payment.id for one in due], now + LOOK_AGAIN)
            ask = self._ask if limit > 1 else self._ask_or_skip
            fold = await ask(connection, due)
            reached("expire.commit.before")
        reached("expire.commit.after")
        self._context.after_commit(fold)
        return due

    async def _ask(self, connection: Connection, due: Sequence[Expiring]) -> Fold:
        fold = self._context.fold({one.payment.id: one.payment for one in due})
        pending = await operations.being_canceled(connection, [one.payment.id for one in due])
        for one in due:
            if one.payment.id not in pending:
                # The due time is the key, so a second replica or a restored backup requests the same call.
                request = CancelRequest(client=SYSTEM, key=f"{EXPIRED}:{one.due_at.isoformat()}", reason=ABANDONED)
                await cancel(connection, self._context, fold, one.payment.id, request)
                metrics.EXPIRED.inc()
                log.info("payment_expiry_requested", payment_id=str(one.payment.id), status=one.payment.status)
        await fold.write(connection)
        return fold

    async def _ask_or_skip(self, connection: Connection, due: Sequence[Expiring]) -> Fold:
        """Request behind a savepoint. If that fails, the payments stay postponed."""
        with isolate_errors("payment_expiry_failed", level=logging.ERROR, ids=[str(one.payment.id) for one in due]):
            async with connection.transaction():
                return await self._ask(connection, due)
        return self._context.fold({})
