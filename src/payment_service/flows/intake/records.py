"""Make a batch of inbound Kafka records durable, so that its offsets may be committed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog

from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.order import Reason, Rejected
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from payment_service.contracts.incoming import InboundRecord
    from payment_service.db.pool import Connection, Pool

    Accept: TypeAlias = Callable[[Sequence[InboundRecord]], Awaitable[None]]
    Decide: TypeAlias = Callable[[Connection, InboundRecord], Awaitable[Rejected | None]]

log = structlog.get_logger(__name__)

# A batch that meets a restart, a failover or a lock succeeds within two repetitions, or the database is away for longer.
BATCH_TRIES: Final = 3
RECORD_TRIES: Final = 2


class Acceptance:
    """Makes batches durable with `accept`, each in one transaction, and finds the record that makes one fail.

    A batch that fails is halved until the faulty record is alone. It goes into quarantine; all others are accepted.
    """

    def __init__(self, accept: Accept, trial: Callable[[], Awaitable[None]]) -> None:
        """Create it. `trial` raises if the database fails without any of the records."""
        self._accept = accept
        self._trial = trial
        self._failures = 0

    async def take(self, inbound: Sequence[InboundRecord]) -> None:
        """Make a batch durable. Raise while the database fails: then the batch must be taken again, and nothing is lost."""
        try:
            await self._accept(inbound)
        except TRANSIENT_ERRORS as error:
            self._failures += 1
            if self._failures < BATCH_TRIES:
                raise
            await self._take_apart(inbound, error)
        except Exception as error:  # noqa: BLE001 - a record may have caused it
            await self._take_apart(inbound, error)
        self._failures = 0

    async def _take_apart(self, inbound: Sequence[InboundRecord], error: Exception) -> None:
        log.warning("intake_batch_failed", records=len(inbound), error=describe_error(error))
        await self._trial()
        if len(inbound) == 1:
            await self._take_alone(inbound[0])
            return
        middle = len(inbound) // 2
        for half in (inbound[:middle], inbound[middle:]):
            try:
                await self._accept(half)
            except Exception as failure:  # noqa: BLE001 - a record may have caused it
                await self._take_apart(half, failure)

    async def _take_alone(self, record: InboundRecord) -> None:
        """Accept a record that failed, or quarantine it if it fails again although the database works."""
        for _ in range(1, RECORD_TRIES):
            try:
                await self._accept([record])
            except Exception as failure:  # noqa: BLE001 - the record is quarantined with the reason
                error = failure
                await self._trial()
            else:
                return
        detail = (
            f"The database fails with this record ({_code(error)}) and not without it: look for locks on its rows, "
            "and try `attention retry`; otherwise report this as a bug."
        )
        await self._accept([replace(record, decoded=Rejected(Reason.NOT_STORABLE, detail), letter=None)])


def _code(error: Exception) -> str:
    # The message may repeat the record's content.
    sqlstate = getattr(error, "sqlstate", None)
    return (
        f"SQLSTATE {sqlstate}"
        if sqlstate
        else "no answer in time"
        if isinstance(error, TimeoutError)
        else "no SQLSTATE"
    )


async def try_out(pool: Pool, decide: Decide, records: Sequence[InboundRecord]) -> None:
    """Accept good records in a transaction that is rolled back. Raise if the database fails."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            for record in records:
                await decide(connection, record)
        finally:
            await transaction.rollback()
