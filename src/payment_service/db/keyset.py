"""Keyset cursors: a list continues after a row, by its time and its name. New rows never shift a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KeysetCursor:
    """The time of a row, and its name among rows of the same time (an id, or a sort key)."""

    at: datetime
    name: str


# Sorts before every id of the same time.
NO_ID: Final = str(UUID(int=0))
# Sort before and after every row of a list of ids.
BEGINNING: Final = KeysetCursor(datetime(1970, 1, 1, tzinfo=UTC), NO_ID)
END: Final = KeysetCursor(datetime(9999, 1, 1, tzinfo=UTC), NO_ID)
