"""API keys: `psk_`, 256 random bits, a checksum. Only their SHA-256 is kept, so a dump of the database opens nothing."""

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
# A dump of logs or a screen can be searched for such keys, and a typing error is told without asking the database.
_FORM: Final = re.compile(r"(psk_[A-Za-z0-9_-]{43})([0-9a-f]{8})")
# Enough to tell keys apart for a person, too little to help in guessing: 24 of 256 bits.
_PREFIX_LENGTH: Final = len("psk_") + 4
CLIENT_LENGTH_MAX: Final = 64
# Idempotency keys belong to clients: under these names the command line and the service itself ask.
_RESERVED: Final = frozenset({"cli", "system"})


class Scope(StrEnum):
    """What a key is good for. `admin` includes all others."""

    READ = "read"
    CHECKOUT = "checkout"
    REFUND = "refund"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls, and what for."""

    key_id: UUID
    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether a key has a scope, or `admin`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def is_well_formed(key: str) -> bool:
    """Whether the text can be a key: its form and its checksum, which anyone may compute."""
    match = _FORM.fullmatch(key)
    return match is not None and _checksum(match[1]) == match[2]


async def create(connection: Connection | Pool, *, client: str, scopes: Sequence[str]) -> str:
    """Make a key and return it, this once. Raises ValueError for an unknown scope, none, or an unfit client name."""
    known = sorted({Scope(scope).value for scope in scopes})
    if not known:
        raise ValueError(f"A key needs at least one scope of: {', '.join(Scope)}.")
    if not 1 <= len(client) <= CLIENT_LENGTH_MAX or not client.isprintable():
        raise ValueError(f"A client's name has 1 to {CLIENT_LENGTH_MAX} printable characters.")
    if client.partition(":")[0] in _RESERVED:
        raise ValueError(
            f"A client's name does not begin with {' or '.join(sorted(_RESERVED))}: these are the service's own."
        )
    body = "psk_" + secrets.token_urlsafe(_RANDOM_BYTES)
    key = body + _checksum(body)
    await connection.execute(_SQL.create, client, prefix_of(key), _digest(key), known)
    return key


async def find(connection: Connection | Pool, key: str) -> Client | None:
    """Find whose key this is; None if nobody's, or revoked."""
    row = await connection.fetchrow(_SQL.find, _digest(key))
    return Client(row["id"], row["client"], frozenset(row["scopes"])) if row else None


async def listed(connection: Connection | Pool, *, client: str | None, revoked: bool) -> list[dict[str, Any]]:
    """Read keys without what opens them, the oldest first; `client` None: of all; `revoked`: those too."""
    return [dict(row) for row in await connection.fetch(_SQL.listed, client, revoked)]


async def revoke(
    connection: Connection | Pool, *, client: str = "", key_id: UUID | None = None
) -> list[dict[str, Any]]:
    """Revoke one key, or without an id all of a client; return them as they are now. A process may take them for 5 s more."""
    return [dict(row) for row in await connection.fetch(_SQL.revoke, key_id, client)]


def prefix_of(key: str) -> str:
    """How a key begins, as it may be shown and kept."""
    return key[:_PREFIX_LENGTH]


def _checksum(text: str) -> str:
    return f"{crc32(text.encode()):08x}"


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
