"""Poll for an effect of another process until it appears or a deadline passes."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")

INTERVAL_S = 0.02
TIMEOUT_S = 20.0


class NeverHappenedError(AssertionError):
    """The condition did not hold before the deadline."""


def _give_up(condition: Callable[[], object], timeout_s: float, last: object) -> NeverHappenedError:
    name = getattr(condition, "__qualname__", repr(condition))
    return NeverHappenedError(f"{name} did not hold within {timeout_s} s; it last gave {last!r}")


def eventually(condition: Callable[[], T], *, timeout_s: float = TIMEOUT_S, interval_s: float = INTERVAL_S) -> T:
    """Call `condition` until its value is true and return it, or raise NeverHappenedError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise _give_up(condition, timeout_s, value)
        time.sleep(interval_s)
    return value


@overload
async def eventually_async(
    condition: Callable[[], Coroutine[Any, Any, T]], *, timeout_s: float = TIMEOUT_S, interval_s: float = INTERVAL_S
) -> T: ...
@overload
async def eventually_async(
    condition: Callable[[], T], *, timeout_s: float = TIMEOUT_S, interval_s: float = INTERVAL_S
) -> T: ...
async def eventually_async(
    condition: Callable[[], Any], *, timeout_s: float = TIMEOUT_S, interval_s: float = INTERVAL_S
) -> Any:
    """Do the same in an event loop; `condition` may be a coroutine function."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > deadline:
            raise _give_up(condition, timeout_s, value)
        await asyncio.sleep(interval_s)
