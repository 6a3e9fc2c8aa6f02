"""Marks in the database that say who reads a partition, written at assignments only, so a batch costs nothing.

A mark without an end means that its process died while it read, perhaps by a record.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from payment_service.db import partition_readers
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from payment_service.db.pool import Pool
    from payment_service.kafka.positions import PartitionKey

T = TypeVar("T")

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 2.0  # without a database no record is accepted, and an assignment must not wait for it


class ReaderMarks:
    """The marks of one consumer. Its methods block: use them outside the event loop."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._reader = uuid.uuid4()

    def begin(self, partitions: Collection[PartitionKey]) -> set[PartitionKey]:
        """Mark partitions as read by this consumer. Return those whose last reader died, none if the database is away."""
        return self._call(partition_readers.begin(self._pool, self._reader, partitions)) or set()

    def end(self, partitions: Collection[PartitionKey]) -> None:
        """Mark partitions as given up."""
        self._call(partition_readers.end(self._pool, self._reader, partitions))

    def _call(self, work: Coroutine[None, None, T]) -> T | None:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(TIMEOUT_S)
        except TRANSIENT_ERRORS as error:
            future.cancel()
            log.warning("reader_not_marked", error=describe_error(error))
            return None
