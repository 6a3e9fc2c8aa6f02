"""Rows of `api_keys`. A key is `psk_`, 256 random bits and a checksum. Only its SHA-256 is stored, so a database dump contains no key."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "api_keys.sql")

_RANDOM_BYTES: Final = 32
# Scanners find keys of this form in logs, and the checksum detects a typing error without a query.
_FORM: Final = re.compile(r"(psk_[A-Za-z0-9_-]{43})([0-9a-f]{8})")
# Enough for a person to recognize a key, too little to guess it: 24 of 256 bits.
_PREFIX_LENGTH: Final = len("psk_") + 4
CLIENT_LENGTH_MAX: Final = 64
# Idempotency keys belong to clients. The command line, the pages and the service itself use these names.
_RESERVED: Final = frozenset({"cli", "pages", "system"})


class Scope(StrEnum):
    """A permission of a key. `admin` includes all others."""

    READ = "read"
    CHECKOUT = "checkout"
    REFUND = "refund"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Client:
    """The client of a key, with its scopes."""

    key_id: UUID
    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Return whether the client has a scope, or `admin`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def is_well_formed(key: str) -> bool:
    """Return whether the text has the form and the checksum of a key. Anyone can compute the checksum."""
    match = _FORM.fullmatch(key)
    return match is not None and _checksum(match[1]) == match[2]


async def create(connection: Connection | Pool, *, client: str, scopes: Sequence[str]) -> str:
    """Create a key and return it; it cannot be read again. Raises ValueError for a missing or unknown scope or a bad client name."""
    known = sorted({Scope(scope).value for scope in scopes})
    if not known:
        raise ValueError(f"A key needs at least one scope of: {', '.join(Scope)}.")
    if not 1 <= len(client) <= CLIENT_LENGTH_MAX or not client.isprintable():
        raise ValueError(f"A client's name has 1 to {CLIENT_LENGTH_MAX} printable characters.")
    if client.partition(":")[0] in _RESERVED:
        raise ValueError(
            f"A client's name must not begin with {' or '.join(sorted(_RESERVED))}: the service uses these names itself."
        )
    body = "psk_" + secrets.token_urlsafe(_RANDOM_BYTES)
    key = body + _checksum(body)
    await connection.execute(_SQL.create, client, prefix_of(key), _digest(key), known)
    return key


async def find(connection: Connection | Pool, key: str) -> Client | None:
    """Return the client of a key, or None if the key is unknown or revoked."""
    row = await connection.fetchrow(_SQL.find, _digest(key))
    return Client(row["id"], row["client"], frozenset(row["scopes"])) if row else None


async def listed(connection: Connection | Pool, *, client: str | None, revoked: bool) -> list[dict[str, Any]]:
    """List keys without their hashes, the oldest first. `client` limits them to one client; `revoked` includes revoked keys."""
    return [dict(row) for row in await connection.fetch(_SQL.listed, client, revoked)]


async def revoke(
    connection: Connection | Pool, *, client: str = "", key_id: UUID | None = None
) -> list[dict[str, Any]]:
    """Revoke one key, or all keys of a client; return them. Running processes may accept them for up to 5 s more."""
    return [dict(row) for row in await connection.fetch(_SQL.revoke, key_id, client)]


def prefix_of(key: str) -> str:
    """Return the beginning of a key, which may be shown and stored."""
    return key[:_PREFIX_LENGTH]


def _checksum(text: str) -> str:
    return f"{crc32(text.encode()):08x}"


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
