"""Rows of `audit_chain`: a link for each entry of `audit`, and of `audit_unsealed`: the entries that wait for one.

An entry is inserted together with its mark in `audit_unsealed`. So its transaction waits for no other, and whatever is
committed is sealed, in whichever order transactions end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from payment_service.db.queries import load
from payment_service.domain.audit_chain import BEFORE_THE_FIRST, Head, Link, entry_of, hash_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncpg import Record

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "audit_chain.sql")

# "paymenta", next to the locks of `migrate`.
ADVISORY_LOCK: Final = 0x7061796D656E7461
# A transaction of 500 links takes about 20 ms.
SEALED_TOGETHER_MAX: Final = 500
_PAGE: Final = 1_000
_LINK: Final = "link_"


@dataclass(frozen=True, slots=True)
class Unsealed:
    """An entry without a link. `waits`: the next seal covers it; otherwise it was not written by the service."""

    audit_id: int
    entry: Mapping[str, Any]
    waits: bool


async def seal(pool: Pool) -> tuple[int, Head]:
    """Append links for entries that wait, unless another process does. Return their number and the head."""
    if not await pool.fetchval(_SQL.has_unsealed):
        return 0, await head(pool)
    async with pool.acquire() as connection, connection.transaction():
        locked = await connection.fetchval(_SQL.lock, ADVISORY_LOCK)
        before = await head(connection)
        rows = await connection.fetch(_SQL.take, SEALED_TOGETHER_MAX) if locked else []
        links: list[tuple[int, int, bytes]] = []
        last = before.hash
        for position, row in enumerate(rows, before.position + 1):
            last = hash_after(last, _entry(row) or {"id": row["link_audit_id"]})
            links.append((position, row["link_audit_id"], last))
        if links:
            await connection.execute(_SQL.insert, *map(list, zip(*links, strict=True)))
    return len(links), Head(before.position + len(links), last)


async def head(connection: Connection | Pool) -> Head:
    """Return the last link."""
    row = await connection.fetchrow(_SQL.head)
    return Head(row["position"], bytes(row["hash"])) if row else Head(0, BEFORE_THE_FIRST)


async def links(connection: Connection | Pool) -> AsyncIterator[Link]:
    """Return all links with their entries, in order."""
    position = 0
    while rows := await connection.fetch(_SQL.links, position, _PAGE):
        for row in rows:
            yield Link(row["link_position"], row["link_audit_id"], bytes(row["link_hash"]), _entry(row))
        position = rows[-1]["link_position"]


async def unsealed(connection: Connection | Pool) -> AsyncIterator[Unsealed]:
    """Return all entries without a link, in order."""
    audit_id = 0
    while rows := await connection.fetch(_SQL.not_sealed, audit_id, _PAGE):
        for row in rows:
            yield Unsealed(row["id"], _entry(row) or {}, row["link_waits"])
        audit_id = rows[-1]["id"]


def _entry(row: Record) -> dict[str, Any] | None:
    """Return the entry of a row that also has columns of its link; None if there is no entry."""
    entry = entry_of({name: value for name, value in row.items() if not name.startswith(_LINK)})
    return entry or None
