"""Rows of `provider_health`: which calls are blocked, and unbroken runs of refusals that nobody expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from payment_service.db.pool import Pool

_SQL = load(__package__, "health.sql")

# The kind that stands for all of a provider.
EVERYTHING: Final = "*"
# A wrong key is mended by people, within minutes; looking every 5 s costs nothing and restarts the flow at once.
PROBE_INTERVAL_S: Final = 5.0
# Fewer could be odd orders; ten payments in a row, without one success, are a fault of ours or of the account.
RUN_LENGTH: Final = 10


async def blocked(pool: Pool, provider: str) -> frozenset[str]:
    """Kinds that are blocked; `*` is all."""
    return frozenset(row["kind"] for row in await pool.fetch(_SQL.blocked, provider))


async def all_blocked(pool: Pool) -> list[str]:
    """What is blocked of all providers: name and kind, such as `stripe refund`; `*` is all kinds."""
    return [f"{row['provider']} {row['kind']}" for row in await pool.fetch(_SQL.all_blocked)]


async def block(pool: Pool, provider: str, kind: str, reason: str) -> None:
    """Pause calls of a kind until a probe succeeds."""
    await pool.execute(_SQL.block, provider, kind, reason, PROBE_INTERVAL_S)


async def take_probe(pool: Pool, provider: str) -> frozenset[str]:
    """Which blocked kinds this process may try once, now."""
    return frozenset(row["kind"] for row in await pool.fetch(_SQL.take_probe, provider, PROBE_INTERVAL_S))


async def extend_run(pool: Pool, provider: str, kind: str, payment_ids: Collection[UUID]) -> bool:
    """Note unexpected refusals; return whether the run is long enough to block the kind."""
    return bool(await pool.fetchval(_SQL.extend_run, provider, kind, list(payment_ids), RUN_LENGTH))


async def recover(pool: Pool, provider: str, kinds: Collection[str]) -> list[str]:
    """Forget runs and blocks of kinds that succeeded; return those that had been blocked."""
    rows = await pool.fetch(_SQL.recover, provider, [*kinds, EVERYTHING])
    return [row["kind"] for row in rows if row["blocked_since"] is not None]
