"""A step of a comparison: short, and with a position, so that a comparison continues where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from payment_service.domain.differences import Difference


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a step. `position`: where the next one begins, empty at the end. `compared`: rows or records."""

    position: str
    compared: int = 0
    found: Sequence[Difference] = ()


async def iterate(step: Callable[[str], Awaitable[Step]]) -> AsyncIterator[Difference]:
    """Yield the differences of all steps."""
    position, begun = "", False
    while position or not begun:
        done = await step(position)
        position, begun = done.position, True
        for difference in done.found:
            yield difference
