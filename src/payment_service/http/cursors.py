"""Cursors of lists: where to go on, opaque and signed.

A cursor is good for the list that gave it, with the same filters, and for no other: the signature covers them. It opens nothing
that its list does not hold; it is signed so that nobody builds upon what is inside, and a mistyped one is told.
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

# 128 bits of the HMAC: nobody guesses them over a network.
_SIGNATURE_BYTES: Final = 16
# The longest place is that of an attempt, 35 characters; a cursor has some 100.
CURSOR_LENGTH_MAX: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def seal(key: bytes, place: KeysetCursor, of: Mapping[str, str | None]) -> str:
    """Word a place of a list as a cursor. `of`: the list's name and its filters."""
    content = json.dumps([(place.at - _EPOCH) // _MICROSECOND, place.name], separators=(",", ":")).encode()
    return urlsafe_b64encode(_sign(key, content, of) + content).rstrip(b"=").decode()


def unseal(key: bytes, cursor: str, of: Mapping[str, str | None]) -> KeysetCursor | None:
    """Read a cursor; None: it is none of this list, or not as it was given."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        return None
    signature, content = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    # Base64 has several spellings of the same bytes; only the one that was given counts.
    if urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor or not hmac.compare_digest(
        signature, _sign(key, content, of)
    ):
        return None
    microseconds, name = json.loads(content)
    return KeysetCursor(_EPOCH + microseconds * _MICROSECOND, name)


class Cursors:
    """Seals and unseals with the key of the database, which is read once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._key: bytes | None = None

    async def seal(
        self, place: KeysetCursor, of: Mapping[str, str | None], connection: Connection | None = None
    ) -> str:
        """Word a place of a list as a cursor."""
        return seal(await self._read_key(connection), place, of)

    async def unseal(self, cursor: str | None, of: Mapping[str, str | None]) -> KeysetCursor | None:
        """Read a cursor; None: there is none, so the list begins. Raises Problem (422)."""
        if cursor is None:
            return None
        place = unseal(await self._read_key(None), cursor, of)
        if place is None:
            detail = "The cursor is none of this list with these filters: send `next_cursor` of the page before, or begin without one."
            raise Problem(INVALID, detail)
        return place

    async def _read_key(self, connection: Connection | None) -> bytes:
        if self._key is None:
            self._key = await cursor_key.read(connection or self._pool)
        return self._key


def _sign(key: bytes, content: bytes, of: Mapping[str, str | None]) -> bytes:
    bound = json.dumps(dict(of), sort_keys=True).encode()
    return hmac.digest(key, bound + b"\n" + content, sha256)[:_SIGNATURE_BYTES]
