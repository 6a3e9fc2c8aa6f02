"""The Kafka records of the shop's orders. The consumer's thread adds them; the thread of the page reads them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

# Orders kept in memory; a person places a few.
ORDERS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class ReceivedRecord:
    """A record about an order. `sequence` and `attempt` are 0 for the order itself, which has neither."""

    topic: str
    value: Mapping[str, Any]
    sequence: int = 0
    attempt: int = 0


class ReceivedRecords:
    """Records by order, for orders that were placed in this shop alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: OrderedDict[str, list[ReceivedRecord]] = OrderedDict()

    def add_order(self, order_id: str, placed: ReceivedRecord) -> None:
        """Collect records of an order from now on. `placed` is the record that placed it."""
        with self._lock:
            self._orders[order_id] = [placed]
            if len(self._orders) > ORDERS_MAX:
                self._orders.popitem(last=False)

    def add(self, order_id: str, record: ReceivedRecord) -> None:
        """Add a record, unless the order was placed elsewhere."""
        with self._lock:
            if order_id in self._orders:
                self._orders[order_id].append(record)

    def of_order(self, order_id: str) -> list[dict[str, Any]] | None:
        """Return the records of an order by attempt and sequence, or None for an order that was placed elsewhere.

        Records of different topics arrive in any order.
        """
        with self._lock:
            records = self._orders.get(order_id)
            if records is None:
                return None
            return [asdict(record) for record in sorted(records, key=lambda record: (record.attempt, record.sequence))]
