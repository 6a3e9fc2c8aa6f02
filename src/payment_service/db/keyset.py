"""Where to go on in a list: behind a row, by its time and its name. Rows that come later change no page that is read on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KeysetCursor:
    """A row's time and its name among those of the same time (an id, or what a list orders by)."""

    at: datetime
    name: str


# No id, and so before every one of the same time.
NO_ID: Final = str(UUID(int=0))
# Before and behind all that can be in a list of ids.
BEGINNING: Final = KeysetCursor(datetime(1970, 1, 1, tzinfo=UTC), NO_ID)
END: Final = KeysetCursor(datetime(9999, 1, 1, tzinfo=UTC), NO_ID)
