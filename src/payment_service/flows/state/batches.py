"""Share a commit within a batch without letting one faulty item block the others (ARCHITECTURE.md, rule 12)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import structlog

from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.telemetry.errors import error_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

log = structlog.get_logger(__name__)


# A class, because type checkers assume that `contextlib.contextmanager` never suppresses exceptions.
class isolate_errors:  # noqa: N801 - read like contextlib.suppress
    """Log an exception as `event` with `facts` and suppress it, so that the caller can continue one by one.

    Raise TRANSIENT_ERRORS: the database is unavailable, so the whole batch must be retried.
    """

    def __init__(self, event: str, *, level: int = logging.WARNING, **facts: object) -> None:
        self._event = event
        self._level = level
        self._facts = facts

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, TRANSIENT_ERRORS):
            return False
        log.log(self._level, self._event, **error_fields(error), **self._facts)
        return True


async def process_batches(
    work: Callable[[int], Awaitable[Sequence[T]]], limit_max: int, *, failure_event: str
) -> Sequence[T]:
    """Process up to `limit_max` due items together, or one by one if that fails. Return the processed items.

    `work(limit)` processes up to `limit` items in one transaction and returns none if nothing is due. `failure_event` is
    logged if the batch fails.
    """
    with isolate_errors(failure_event):
        return await work(limit_max)
    done: list[T] = []
    while len(done) < limit_max and (one := await work(1)):
        done.extend(one)
    return done
