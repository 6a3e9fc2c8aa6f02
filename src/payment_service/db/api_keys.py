"""Rows of `api_keys`. A key is `psk_`, 256 random bits and a checksum. Only its SHA-256 is stored, so a database dump contains no key.

The service's role reads keys and notes their use. Only the operator's role creates, rotates and revokes them.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from payment_service.db.queries import load
from payment_service.domain.guard import clean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from asyncpg import Record

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "api_keys.sql")
_CHANGES = load(__package__, "api_key_changes.sql")

_RANDOM_BYTES: Final = 32
# Scanners find keys of this form in logs, and the checksum detects a typing error without a query.
_FORM: Final = re.compile(r"(psk_[A-Za-z0-9_-]{43})([0-9a-f]{8})")
# Enough for a person to recognize a key, too little to guess it: 24 of 256 bits.
_PREFIX_LENGTH: Final = len("psk_") + 4
CLIENT_LENGTH_MAX: Final = 64
# Each process keeps the valid keys in memory, about 500 bytes each, and reads them every 5 s.
VALID_MAX: Final = 1_000
# Idempotency keys belong to clients. The command line, the pages and the service itself use these names.
_RESERVED: Final = frozenset({"cli", "pages", "system"})
_AMOUNTS: Final = ("refund_amounts_per_day", "refund_amounts_max")

Network = IPv4Network | IPv6Network


class Scope(StrEnum):
    """A permission of a key. `admin` includes all others."""

    READ = "read"
    CHECKOUT = "checkout"
    REFUND = "refund"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Client:
    """The client of a key, with its scopes. No `networks`: every address. `requests_per_second` is per process."""

    key_id: UUID
    name: str
    scopes: frozenset[str]
    networks: tuple[Network, ...] = ()
    requests_per_second: int | None = None

    def may(self, scope: Scope) -> bool:
        """Return whether the client has a scope, or `admin`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLimits:
    """The limits of a key. None or empty: no limit. Amounts are minor units by currency; no other currency is then allowed."""

    networks: tuple[Network, ...] = ()
    requests_per_second: int | None = None
    refunds_per_day: int | None = None
    refund_amounts_per_day: Mapping[str, int] = field(default_factory=dict)
    refund_amounts_max: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundLimits:
    """The refunds that a key may make, counted per day for its family: the key and those that replaced it."""

    family: UUID
    per_day: int | None
    amounts_per_day: Mapping[str, int]
    amounts_max: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RefundCount:
    """The refunds of a family today, with the one under way. `amount`: minor units of its currency."""

    refunds: int
    amount: int
    until: datetime
    left_s: int


def is_well_formed(key: str) -> bool:
    """Return whether the text has the form and the checksum of a key. Anyone can compute the checksum."""
    match = _FORM.fullmatch(key)
    return match is not None and _checksum(match[1]) == match[2]


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key. Keys are compared by it, so the time of a comparison tells nothing about a key."""
    return sha256(key.encode()).digest()


def prefix_of(key: str) -> str:
    """Return the beginning of a key, which may be shown and stored."""
    return key[:_PREFIX_LENGTH]


async def read_valid(connection: Connection | Pool) -> dict[bytes, Client]:
    """Return the clients of all valid keys, by the digest of the key."""
    rows = await connection.fetch(_SQL.valid)
    return {
        bytes(row["hash"]): Client(
            row["id"], row["client"], frozenset(row["scopes"]), tuple(row["networks"]), row["requests_per_second"]
        )
        for row in rows
    }


async def note_use(connection: Connection | Pool, key_ids: Collection[UUID]) -> None:
    """Note that these keys were used within the last minute."""
    await connection.execute(_SQL.note_use, list(key_ids))


async def listed(connection: Connection | Pool, *, client: str | None, ended: bool) -> list[dict[str, Any]]:
    """List keys without their hashes, the oldest first. `client` limits them to one client; `ended` includes revoked and
    expired keys.
    """
    return [_shown(row) for row in await connection.fetch(_SQL.listed, client, ended)]


async def refund_limits(connection: Connection, key_id: UUID) -> RefundLimits | None:
    """Return the limits of a key; None if it is not valid."""
    row = await connection.fetchrow(_SQL.refund_limits, key_id)
    if row is None:
        return None
    per_day, largest = (json.loads(row[name]) for name in _AMOUNTS)
    return RefundLimits(row["family"], row["refunds_per_day"], per_day, largest)


async def count_refund(connection: Connection, family: UUID, currency: str, minor: int) -> RefundCount:
    """Count a refund, and return the sums of the day. Others of the family wait until the transaction ends."""
    [row] = await connection.fetch(_SQL.count_refund, family, currency, minor)
    return RefundCount(**row)


async def create(
    connection: Connection | Pool,
    *,
    client: str,
    scopes: Sequence[str],
    limits: KeyLimits | None = None,
    expires_after: timedelta | None = None,
) -> str:
    """Create a key and return it; it cannot be read again. Raises ValueError for a missing or unknown scope or a bad client name."""
    known = _require_scopes(scopes)
    _require_client(client)
    if await connection.fetchval(_CHANGES.count_valid) >= VALID_MAX:
        raise ValueError(f"{VALID_MAX} keys are valid, which is the maximum: revoke some.")
    limits = limits or KeyLimits()
    key = _random_key()
    await connection.execute(
        _CHANGES.create,
        client,
        prefix_of(key),
        digest(key),
        known,
        list(limits.networks),
        limits.requests_per_second,
        limits.refunds_per_day,
        json.dumps(dict(limits.refund_amounts_per_day)),
        json.dumps(dict(limits.refund_amounts_max)),
        expires_after,
    )
    return key


async def rotate(
    connection: Connection | Pool, key_id: UUID, *, overlap: timedelta
) -> tuple[str, str, datetime] | None:
    """Create a successor of a valid key, with its limits, and end the old one after `overlap`.

    Return the client, the new key and the end of the old one; None if there is no such valid key.
    """
    key = _random_key()
    row = await connection.fetchrow(_CHANGES.rotate, key_id, prefix_of(key), digest(key), overlap)
    return (row["client"], key, row["old_until"]) if row else None


async def revoke(
    connection: Connection | Pool, *, client: str = "", key_id: UUID | None = None
) -> list[dict[str, Any]]:
    """Revoke one key, or all keys of a client; return them. Running processes may accept them for up to 5 s more."""
    return [_shown(row) for row in await connection.fetch(_CHANGES.revoke, key_id, client)]


def _require_scopes(scopes: Sequence[str]) -> list[str]:
    known = sorted({Scope(scope).value for scope in scopes})
    if not known:
        raise ValueError(f"A key needs at least one scope of: {', '.join(Scope)}.")
    return known


def _require_client(client: str) -> None:
    if not 1 <= len(client) <= CLIENT_LENGTH_MAX or not client.isprintable() or clean(client) != client:
        raise ValueError(f"A client's name has 1 to {CLIENT_LENGTH_MAX} printable characters, without card numbers.")
    if client.partition(":")[0] in _RESERVED:
        raise ValueError(
            f"A client's name must not begin with {' or '.join(sorted(_RESERVED))}: the service uses these names itself."
        )


def _random_key() -> str:
    body = "psk_" + secrets.token_urlsafe(_RANDOM_BYTES)
    return body + _checksum(body)


def _checksum(text: str) -> str:
    return f"{crc32(text.encode()):08x}"


def _shown(row: Record) -> dict[str, Any]:
    """Return a row with JSON decoded and networks as text."""
    amounts = {name: json.loads(row[name]) for name in _AMOUNTS}
    return {**dict(row), **amounts, "networks": [str(network) for network in row["networks"]]}
