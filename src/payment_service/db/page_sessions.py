"""Rows of `page_sessions`: who is logged in at the operators' pages. Only the SHA-256 of a session's id is stored."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "page_sessions.sql")

_RANDOM_BYTES: Final = 32
# A working day. The roles of a login are those of its time, so a removed person loses access within it.
SESSION_LIFETIME: Final = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class SessionOwner:
    """The person and the roles of a session."""

    person: str
    roles: frozenset[str]


async def begin(connection: Connection | Pool, *, person: str, roles: Iterable[str]) -> str:
    """Begin a session and return its id; it cannot be read again."""
    session_id = secrets.token_urlsafe(_RANDOM_BYTES)
    await connection.execute(_SQL.begin, _digest(session_id), person, sorted(set(roles)), SESSION_LIFETIME)
    return session_id


async def find(connection: Connection | Pool, session_id: str) -> SessionOwner | None:
    """Return the owner of a session; None if it is unknown, expired or ended."""
    row = await connection.fetchrow(_SQL.find, _digest(session_id))
    return SessionOwner(row["person"], frozenset(row["roles"])) if row else None


async def end(connection: Connection | Pool, session_id: str) -> None:
    """End a session."""
    await connection.execute(_SQL.end, _digest(session_id))


async def end_of(connection: Connection, person: str | None) -> int:
    """End the sessions and links of a person, or of everybody, and return the number of sessions."""
    await connection.execute(_SQL.end_links_of, person)
    return len(await connection.fetch(_SQL.end_of, person))


def _digest(session_id: str) -> bytes:
    return sha256(session_id.encode()).digest()
