"""Deliveries that wait to be stored, and the groups in which they are."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.loop import Loop
from payment_service.telemetry import traces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from payment_service.provider.port import ProviderEvent

# A transaction of about 30 ms, well under the lock timeout of other transactions.
GROUP_MAX: Final = 256
# Every delivery wakes the loops.
STORE_INTERVAL_MAX_S: Final = 5.0
# Deliveries that keep coming share a commit. The first after a pause waits for nobody, and this many wait no longer.
STORE_APART_S: Final = 0.01
STORE_ENOUGH: Final = 32


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event with its verifier. `done` ends when the event is durable. `traceparent`: the request that brought it."""

    event: ProviderEvent
    verified_by: str
    done: asyncio.Future[None]
    arrived_s: float
    traceparent: str | None = None


def storing_loop(store_once: Callable[[], Awaitable[int]], waiting: Callable[[], int]) -> Loop:
    """Return a loop that stores deliveries in groups."""
    return Loop(
        "webhooks.store",
        store_once,
        interval_max_s=STORE_INTERVAL_MAX_S,
        apart_s=STORE_APART_S,
        enough=lambda: waiting() >= STORE_ENOUGH,
    )


def deliver(event: ProviderEvent, verified_by: str) -> Delivery:
    """Make a delivery that arrives now."""
    loop = asyncio.get_running_loop()
    return Delivery(event, verified_by, loop.create_future(), loop.time(), traces.current_traceparent())


def complete(group: Sequence[Delivery], error: Exception | None) -> None:
    """End the deliveries of a group, unless their senders have gone."""
    for delivery in group:
        if delivery.done.done():
            continue
        if error is None:
            delivery.done.set_result(None)
        else:
            delivery.done.set_exception(error)


class DeliveryQueue:
    """Deliveries in order of arrival. A payment is in one group at a time, because the second group would find it locked."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._named: set[UUID] = set()  # the payments that the events of the groups under way name

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, delivery: Delivery) -> None:
        """Append a delivery."""
        self._waiting.append(delivery)

    def take_group(self) -> list[Delivery]:
        """Take the next deliveries. Call `release` when they are stored."""
        group: list[Delivery] = []
        held: list[Delivery] = []
        while self._waiting and len(group) < GROUP_MAX:
            delivery = self._waiting.popleft()
            (held if delivery.event.payment_id in self._named else group).append(delivery)
        self._waiting.extendleft(reversed(held))
        self._named |= _named(group)
        return group

    def release(self, group: Sequence[Delivery]) -> None:
        """Note that a group is no longer under way."""
        self._named -= _named(group)


def _named(group: Sequence[Delivery]) -> set[UUID]:
    return {delivery.event.payment_id for delivery in group if delivery.event.payment_id is not None}
