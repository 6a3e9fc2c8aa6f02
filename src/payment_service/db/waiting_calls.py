"""Calls that a provider has not answered: for the gauge, `/ready` and `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "waiting_calls.sql")

# Stripe answers within seconds, and a retry after a lost answer comes within 10 s. Half a minute is no chance.
REPORTED_FROM_S: Final = 30.0


class WaitingCalls:
    """The unanswered calls as the last measurement found them."""

    def __init__(self, pool: Pool, providers: Iterable[str]) -> None:
        self._pool = pool
        self._providers = tuple(providers)
        self._problem = ""

    def problem(self) -> str:
        """Return a sentence for `/ready`, or an empty string."""
        return self._problem

    async def measure_once(self) -> None:
        """Set the gauge, to 0 for a provider that has answered everything."""
        ages = dict.fromkeys(self._providers, 0.0)
        rows = await self._pool.fetch(_SQL.waiting, 0.0)
        for row in rows:
            ages[row["provider"]] = row["age_s"]
        for provider, age_s in ages.items():
            metrics.OLDEST_OPERATION_SECONDS.labels(provider).set(age_s)
        self._problem = "; ".join(_sentence(row) for row in rows if row["age_s"] >= REPORTED_FROM_S)


async def problems(connection: Connection) -> list[str]:
    """Return a sentence for each provider that has left a call unanswered for `REPORTED_FROM_S`."""
    return [_sentence(row) for row in await connection.fetch(_SQL.waiting, REPORTED_FROM_S)]


def _sentence(row: asyncpg.Record) -> str:
    reason = ": ".join(filter(None, (row["outcome"], row["code"]))) or "no answer yet"
    waiting = f"{row['calls']} calls" if row["calls"] > 1 else "1 call"
    return f"{waiting} to {row['provider']} unanswered for up to {row['age_s']:.0f} s ({row['kind']}: {reason})"
