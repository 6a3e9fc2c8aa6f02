"""A group shares a commit, and what one of it trips over must not stop the others (ARCHITECTURE.md, rule 12)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import structlog

from payment_service.db.pool import TRANSIENT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

log = structlog.get_logger(__name__)


# A class, since type checkers believe that what `contextlib.contextmanager` makes swallows nothing, and what follows is never reached.
class isolate_errors:  # noqa: N801 - read like contextlib.suppress
    """Log what goes wrong within as `event`, with `facts`, and go on behind: one by one, or without.

    TRANSIENT_ERRORS are raised: the database can't be used, which is nobody's fault, and all of it is to be done again.
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
        log.log(self._level, self._event, error=type(error).__name__, detail=str(error)[:300], **self._facts)
        return True


async def process_batches(
    work: Callable[[int], Awaitable[Sequence[T]]], limit_max: int, *, failure_event: str
) -> Sequence[T]:
    """Work off up to `most` of what is due together, or where that fails one by one; give what was worked on.

    `work(limit)` takes up to `limit` in a transaction, and gives none where nothing is due. `failure_event`: what is logged of a group.
    """
    with isolate_errors(failure_event):
        return await work(limit_max)
    done: list[T] = []
    while len(done) < limit_max and (one := await work(1)):
        done.extend(one)
    return done
