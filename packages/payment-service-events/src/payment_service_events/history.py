"""Taking each event once, and in its order, whatever comes twice, late or by another topic.

Records of one topic and payment come in order; those of different topics overtake each other. So a listener keeps what came
and looks at all of it in order, instead of changing its mind by what comes last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from payment_service_events.types import Event

EVENTS_MAX: Final = 100_000  # about 100 MB, and some 20,000 orders


class Store(Protocol):
    """What a listener remembers. It is written in the transaction that holds what the listener does about it."""

    def add(self, event: Event) -> bool:
        """Keep an event; False when one of this id is kept already, and nothing was changed."""

    def of_order(self, order_id: str) -> Sequence[Event]:
        """Give all that is kept of an order, in any order."""


def take(store: Store, event: Event) -> tuple[Event, ...] | None:
    """Keep the event and give the history of its order; None for a repetition, about which nothing is to be done.

    The event itself is not in the history when it tells of a payment that a later one has replaced.
    """
    return in_order(store.of_order(event.order_id)) if store.add(event) else None


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """The history of one order: of its latest payment alone (`attempt`), each event once (`id`), by `sequence`.

    A number that is missing is an event that is on its way, or of a topic that nobody listens to.
    """
    by_id = {event.id: event for event in events}
    latest = max((event.attempt for event in by_id.values()), default=0)
    return tuple(sorted((e for e in by_id.values() if e.attempt == latest), key=lambda event: event.sequence))


class MemoryStore:
    """For tests, and for listeners that may forget: over `events_max` events it drops the orders longest untouched."""

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        self._events_max = events_max
        self._count = 0
        self._orders: OrderedDict[str, dict[str, Event]] = OrderedDict()

    def add(self, event: Event) -> bool:
        """Keep an event; False when one of this id is kept already."""
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
        """Give all that is kept of an order."""
        return tuple(self._orders.get(order_id, {}).values())
