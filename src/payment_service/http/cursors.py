"""Opaque, signed cursors of lists.

A cursor is valid only for the list that returned it, with the same filters: the signature covers both. It gives access
to nothing beyond that list. The signature keeps callers from depending on the content, and detects typing errors.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from payment_service.db import cursor_key
from payment_service.db.keyset import KeysetCursor
from payment_service.http.problems import INVALID, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.db.pool import Connection, Pool

# 128 bits of the HMAC cannot be guessed over a network.
_SIGNATURE_BYTES: Final = 16
# The longest position is that of an attempt, 35 characters; its cursor has about 100.
CURSOR_LENGTH_MAX: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def encode(key: bytes, position: KeysetCursor, list_key: Mapping[str, str | None]) -> str:
    """Encode a position in a list as a cursor. `list_key` is the list's name and its filters."""
    content = json.dumps([(position.at - _EPOCH) // _MICROSECOND, position.name], separators=(",", ":")).encode()
    return urlsafe_b64encode(_sign(key, content, list_key) + content).rstrip(b"=").decode()


def decode(key: bytes, cursor: str, list_key: Mapping[str, str | None]) -> KeysetCursor | None:
    """Decode a cursor. Return None if it was altered or belongs to another list."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        return None
    signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    # Base64 can spell the same bytes in several ways; accept only the spelling that was issued.
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor or not hmac.compare_digest(
        signature, _sign(key, content, list_key)
    ):
        return None
    microseconds, name = json.loads(content)
    return KeysetCursor(_EPOCH + microseconds * _MICROSECOND, name)


class Cursors:
    """Encodes and decodes cursors with the key of the database, which is read once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._key: bytes | None = None

    async def encode(
        self, position: KeysetCursor, list_key: Mapping[str, str | None], connection: Connection | None = None
    ) -> str:
        """Encode a position in a list as a cursor."""
        return encode(await self._read_key(connection), position, list_key)

    async def decode(self, cursor: str | None, list_key: Mapping[str, str | None]) -> KeysetCursor | None:
        """Decode a cursor. Return None without one, which starts at the beginning. Raises Problem (422)."""
        if cursor is None:
            return None
        position = decode(await self._read_key(None), cursor, list_key)
        if position is None:
            detail = "The cursor is not valid for this list with these filters: send `next_cursor` of the previous page, or start without a cursor."
            raise Problem(INVALID, detail)
        return position

    async def _read_key(self, connection: Connection | None) -> bytes:
        if self._key is None:
            self._key = await cursor_key.read(connection or self._pool)
        return self._key


def _sign(key: bytes, content: bytes, list_key: Mapping[str, str | None]) -> bytes:
    bound = json.dumps(dict(list_key), sort_keys=True).encode()
    return hmac.digest(key, bound + b"\n" + content, sha256)[:_SIGNATURE_BYTES]
