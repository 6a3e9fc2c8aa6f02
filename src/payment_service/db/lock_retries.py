"""Retries for table locks. A session that waits for a table lock blocks all later ones, so it waits briefly and often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

# A session of the service waits 1 s (`pool.LOCK_TIMEOUT_MS`), so it outlasts several of these waits in a row.
LOCK_TIMEOUT_MS: Final = 200
# Longer than any transaction of the service, short enough for a deployment to wait.
LOCK_PATIENCE_S: Final = 60.0
LOCK_PAUSE_S: Final = 0.8
# PostgreSQL cancels an autovacuum that has blocked another session for `deadlock_timeout` (1 s), so the last try waits longer.
# Requests may get a 503 during that time.
LAST_LOCK_TIMEOUT_MS: Final = 1_500

T = TypeVar("T")


def with_lock_retries(step: Callable[[int], T]) -> T:
    """Call `step` with a `lock_timeout` in milliseconds until it gets its locks.

    Raises LockNotAvailable of psycopg, bare or wrapped by SQLAlchemy, if the last try does not get them either.
    """
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while time.monotonic() < deadline:
        try:
            return step(LOCK_TIMEOUT_MS)
        except (psycopg.errors.LockNotAvailable, DBAPIError) as error:
            if not is_lock_timeout(error):
                raise
        time.sleep(LOCK_PAUSE_S)
    return step(LAST_LOCK_TIMEOUT_MS)


def is_lock_timeout(error: BaseException) -> bool:
    """Return whether a statement did not get a lock in time."""
    return isinstance(error.orig if isinstance(error, DBAPIError) else error, psycopg.errors.LockNotAvailable)
