"""Rows of `provider_health`: blocked kinds of calls, and series of unexpected refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "provider_health.sql")

# Stands for all kinds of a provider.
EVERYTHING: Final = "*"
# People fix a wrong API key within minutes. A probe every 5 s costs little and resumes the calls at once.
PROBE_INTERVAL_S: Final = 5.0
# Fewer could be unusual orders. Ten payments in a row without one success are a fault of the service or the account.
RUN_LENGTH: Final = 10


async def blocked(pool: Pool, provider: str) -> frozenset[str]:
    """Return the blocked kinds of a provider; `*` stands for all."""
    return frozenset(row["kind"] for row in await pool.fetch(_SQL.blocked, provider))


async def all_blocked(pool: Pool) -> list[str]:
    """Return everything that is blocked as provider and kind, for example `stripe refund`; `*` stands for all kinds."""
    return [f"{row['provider']} {row['kind']}" for row in await pool.fetch(_SQL.all_blocked)]


async def block(pool: Pool, provider: str, kind: str, reason: str) -> None:
    """Block the calls of a kind until a probe succeeds."""
    await pool.execute(_SQL.block, provider, kind, reason, PROBE_INTERVAL_S)


async def take_probe(pool: Pool, provider: str) -> frozenset[str]:
    """Return the blocked kinds that this process may probe with one call now."""
    return frozenset(row["kind"] for row in await pool.fetch(_SQL.take_probe, provider, PROBE_INTERVAL_S))


async def extend_run(pool: Pool, provider: str, kind: str, payment_ids: Collection[UUID]) -> bool:
    """Record unexpected refusals; return whether they are enough to block the kind."""
    return bool(await pool.fetchval(_SQL.extend_run, provider, kind, list(payment_ids), RUN_LENGTH))


async def recover(pool: Pool, provider: str, kinds: Collection[str]) -> list[str]:
    """Clear refusals and blocks of kinds that succeeded; return the kinds that were blocked."""
    rows = await pool.fetch(_SQL.recover, provider, [*kinds, EVERYTHING])
    return [row["kind"] for row in rows if row["blocked_since"] is not None]
