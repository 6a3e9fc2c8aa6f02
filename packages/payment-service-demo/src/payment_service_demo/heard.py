"""What the shop has heard of its orders on Kafka, kept by the thread that listens for the one that serves the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

# Orders remembered; a person places a few.
ORDERS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """A record about an order. `sequence` and `attempt` are 0 where it has none (the order itself)."""

    topic: str
    value: Mapping[str, Any]
    sequence: int = 0
    attempt: int = 0


class Heard:
    """Records by order, of orders that were placed here alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: OrderedDict[str, list[Told]] = OrderedDict()

    def begin(self, order_id: str, placed: Told) -> None:
        """Listen for an order from now on, which was placed by this record."""
        with self._lock:
            self._orders[order_id] = [placed]
            if len(self._orders) > ORDERS_MAX:
                self._orders.popitem(last=False)

    def note(self, order_id: str, told: Told) -> None:
        """Note a record, if the order is one of ours."""
        with self._lock:
            if order_id in self._orders:
                self._orders[order_id].append(told)

    def of(self, order_id: str) -> list[dict[str, Any]] | None:
        """Give what was heard of an order, in the order of its sequences; None: it is none of ours.

        Of several topics the records come as they like.
        """
        with self._lock:
            told = self._orders.get(order_id)
            if told is None:
                return None
            return [asdict(record) for record in sorted(told, key=lambda record: (record.attempt, record.sequence))]
