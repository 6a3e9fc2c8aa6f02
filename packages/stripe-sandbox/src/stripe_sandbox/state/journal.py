"""Durability: one JSON line per transaction, appended and synced in groups.

A response waits until its data is on disk. While one group is synced, the next one gathers, so that transactions share
the cost of a sync. A kill at any moment loses nothing that was answered.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from stripe_sandbox.state.store import Record


class StateError(Exception):
    """The state file cannot be used; the message says what to do."""


class Journal:
    """An append-only file of transactions; without a path nothing is stored."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._pending: list[bytes] = []
        self._appended = 0
        self._synced = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._stopping = False

    def lock(self) -> None:
        """Lock the state file against other processes."""
        if self._path is None:
            return
        if self._path.is_dir():
            raise StateError(f"{self._path} is a directory: give the path of a file.")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self._path.with_name(self._path.name + ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateError(
                f"{self._path} is in use by another sandbox. Stop that one or choose another file."
            ) from None

    def replay(self) -> Iterator[list[Record]]:
        """Yield every stored transaction. A torn last line was never answered, so it is dropped."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield json.loads(line)
                except ValueError:
                    raise StateError(
                        f"{self._path}: line {number} is damaged. Restore the file, or delete it to start empty."
                    ) from None

    def compact(self, transactions: Iterable[list[Record]]) -> None:
        """Rewrite the file atomically and open it for appending."""
        if self._path is None:
            return
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.touch(mode=0o600)
        with fresh.open("wb") as file:
            file.writelines(_line(records) for records in transactions)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        _sync_directory(self._path.parent)
        self._file = self._path.open("ab", buffering=0)

    def append(self, records: list[Record]) -> None:
        if self._file is None or not records:
            return
        self._pending.append(_line(records))
        self._appended += 1
        self._wake.set()

    async def durable(self) -> None:
        """Return once everything appended so far is on disk."""
        if self._synced >= self._appended:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((self._appended, waiter))
        await waiter

    async def run(self) -> None:
        """Sync groups until `stop`. A failing disk ends this task, and with it the process."""
        while self._pending or not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            group, self._pending, target = self._pending, [], self._appended
            if self._file is not None and group:
                await asyncio.to_thread(_write, self._file, b"".join(group))
            self._synced = target
            self._release()

    def stop(self) -> None:
        """Let `run` end once everything is on disk."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        for file in (self._file, self._lock):
            if file is not None:
                file.close()

    def _release(self) -> None:
        waiting, self._waiters = self._waiters, []
        for target, waiter in waiting:
            if target > self._synced:
                self._waiters.append((target, waiter))
            elif not waiter.done():
                waiter.set_result(None)


def _write(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
    os.fdatasync(file.fileno())


def _line(records: list[Record]) -> bytes:
    return json.dumps(records, separators=(",", ":")).encode() + b"\n"


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
