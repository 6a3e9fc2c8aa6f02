"""Take each event once and in order, even when records repeat or arrive late.

Records of one topic and payment arrive in order; records of different topics overtake each other. So a consumer stores
every event and decides from the sorted history, not from the event that arrived last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from payment_service_events.event import Event

EVENTS_MAX: Final = 100_000  # about 100 MB, and some 20,000 orders


class Store(Protocol):
    """The events that a consumer stores. Write them in the transaction that also holds the consumer's own changes."""

    def add(self, event: Event) -> bool:
        """Store an event. Return False, and change nothing, when an event of this id is stored already."""

    def of_order(self, order_id: str) -> Sequence[Event]:
        """Return all stored events of an order, in any order."""


def take(store: Store, event: Event) -> tuple[Event, ...] | None:
    """Store the event and return the history of its order, or None for a repeated event, which needs no action.

    The history does not contain the event itself when a later payment of the order replaced the event's payment.
    """
    return in_order(store.of_order(event.order_id)) if store.add(event) else None


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the history of one order: its latest payment alone (`attempt`), each event once (`id`), by `sequence`.

    A missing number is an event that is still to arrive, or one of a topic that you do not consume.
    """
    by_id = {event.id: event for event in events}
    latest = max((event.attempt for event in by_id.values()), default=0)
    return tuple(sorted((e for e in by_id.values() if e.attempt == latest), key=lambda event: event.sequence))


class MemoryStore:
    """A store for tests, and for consumers that may forget. Above `events_max` events it drops the least recently used orders."""

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        self._events_max = events_max
        self._count = 0
        self._orders: OrderedDict[str, dict[str, Event]] = OrderedDict()

    def add(self, event: Event) -> bool:
        """Store an event. Return False when an event of this id is stored already."""
        kept = self._orders.setdefault(event.order_id, {})
        self._orders.move_to_end(event.order_id)
        if event.id in kept:
            return False
        kept[event.id] = event
        self._count += 1
        while self._count > self._events_max and len(self._orders) > 1:
            self._count -= len(self._orders.popitem(last=False)[1])
        return True

    def of_order(self, order_id: str) -> Sequence[Event]:
        """Return all stored events of an order."""
        return tuple(self._orders.get(order_id, {}).values())
