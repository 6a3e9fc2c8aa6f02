"""The row of `installation`: the deployment name of this database, and the provider's account where it is claimed (I18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from payment_service.db import payment_reads
from payment_service.db.queries import load
from payment_service.domain.ids import payment_id
from payment_service.provider.account_claims import Installation

if TYPE_CHECKING:
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "installation.sql")


class AnotherDeployment(Exception):
    """The database belongs to another deployment name than the configured one. The message says what to do."""


async def read(connection: Connection | Pool) -> Installation | None:
    """Return the installation; None before the first start."""
    row = await connection.fetchrow(_SQL.read)
    return Installation(**row, database=await _fingerprint(connection)) if row else None


async def claim(pool: Pool, deployment: str) -> Installation:
    """Claim this database for a name at the first start, or check its name. Raises AnotherDeployment."""
    await require_name(pool, deployment)
    if (found := await read(pool)) is None:
        await pool.execute(_SQL.create, deployment)
        found = await read(pool)
    if found is None or found.deployment != deployment:
        raise _another(deployment, found.deployment if found else "unknown")
    return found


async def require_name(pool: Pool, deployment: str) -> None:
    """Raise AnotherDeployment if this database belongs to another name. With a wrong name, a replayed order would get a
    second payment.
    """
    if (found := await read(pool)) is not None:
        if found.deployment != deployment:
            raise _another(deployment, found.deployment)
        return
    newest = await payment_reads.newest_names(pool)
    if newest and newest["id"] != payment_id(deployment, newest["order_id"], newest["attempt"]):
        raise _another(deployment, None)


async def confirm(pool: Pool, *, account: str, livemode: bool, claimed: bool) -> Installation:
    """Store the account and mode of the provider. `claimed`: the account holds the claim."""
    [row] = await pool.fetch(_SQL.confirm, account, livemode, claimed)
    return Installation(**row, database=await _fingerprint(pool))


async def move(connection: Connection, *, account: str, livemode: bool) -> None:
    """Store that the name is now claimed at this account."""
    await connection.execute(_SQL.move, account, livemode)


async def _fingerprint(connection: Connection | Pool) -> str:
    """Return an id that a copy of this database does not have; empty if the role may not read it."""
    try:
        return str(await connection.fetchval(_SQL.database))
    except asyncpg.InsufficientPrivilegeError:
        return ""


def _another(wanted: str, actual: str | None) -> AnotherDeployment:
    named = f"to the deployment {actual!r}" if actual else "to another deployment"
    message = f"DEPLOYMENT is {wanted!r}, but this database belongs {named}: set DEPLOYMENT to that name, or use another database."
    return AnotherDeployment(message)
