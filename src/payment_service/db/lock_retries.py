"""Locks on tables that serve: who waits for one makes everybody else wait behind it, so it is asked for briefly and often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

# A session of the service waits 1 s for a lock (`pool.LOCK_TIMEOUT_MS`): one that queues behind several of these waits still gets it.
LOCK_TIMEOUT_MS: Final = 200
# Longer than any transaction of the service, shorter than a person's patience with a deployment.
LOCK_PATIENCE_S: Final = 60.0
LOCK_PAUSE_S: Final = 0.8
# PostgreSQL ends an autovacuum that is in the way of one who has waited for `deadlock_timeout` (1 s), so the last try waits longer;
# callers may be answered 503 meanwhile, and come again.
LAST_LOCK_TIMEOUT_MS: Final = 1_500

T = TypeVar("T")


def with_lock_retries(step: Callable[[int], T]) -> T:
    """Call `step` with a `lock_timeout` in milliseconds until it gets its locks.

    Raises what `step` raised (psycopg's LockNotAvailable, bare or wrapped by SQLAlchemy) when the last try did not get them either.
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
    """Tell whether a lock was not free in time."""
    return isinstance(error.orig if isinstance(error, DBAPIError) else error, psycopg.errors.LockNotAvailable)
