"""Rows of `page_logins`: one-time links into the operators' pages. Only the SHA-256 of a link's token is stored."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "page_logins.sql")

_RANDOM_BYTES: Final = 32
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
# Long enough to copy a link from a terminal into a browser.
LINK_LIFETIME: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class LinkOwner:
    """The person and the roles of a link."""

    person: str
    roles: frozenset[str]


async def create(connection: Connection, *, person: str, roles: Sequence[str]) -> str:
    """Create a link and return its token; it cannot be read again."""
    token = secrets.token_urlsafe(_RANDOM_BYTES)
    await connection.execute(_SQL.create, _digest(token), person, sorted(set(roles)), LINK_LIFETIME)
    return token


async def find(connection: Connection | Pool, token: str) -> LinkOwner | None:
    """Return the owner of a link that can still be used."""
    return await _owner(connection, _SQL.find, token)


async def redeem(connection: Connection | Pool, token: str) -> LinkOwner | None:
    """Use a link up and return its owner; None if it is unknown, used or expired."""
    return await _owner(connection, _SQL.redeem, token)


async def _owner(connection: Connection | Pool, sql: str, token: str) -> LinkOwner | None:
    if not _FORM.fullmatch(token):
        return None
    row = await connection.fetchrow(sql, _digest(token))
    return LinkOwner(row["person"], frozenset(row["roles"])) if row else None


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
