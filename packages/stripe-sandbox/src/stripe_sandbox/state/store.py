"""All state: tables of immutable objects in memory, changed only by transactions.

An object in a table is never changed in place; a change creates a new dict. A snapshot for an event is therefore a
reference, and discarding a transaction rolls it back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from stripe_sandbox.errors import Json, missing_resource

Record = tuple[str, str, Json | None]
"""(table, key, row); row None deletes the key."""


class Table:
    """Rows by key, in order of creation; `owner` names a field for lookups."""

    def __init__(self, owner: str | None = None) -> None:
        self.rows: dict[str, Json] = {}
        self._order: list[str] = []
        self._created: list[int] = []
        self._position: dict[str, int] = {}
        self.owner = owner
        self._owned: dict[str, list[str]] = {}

    def put(self, key: str, row: Json) -> None:
        if key not in self._position:
            self._position[key] = len(self._order)
            self._order.append(key)
            self._created.append(int(row.get("created", 0)))
            if self.owner is not None:
                self._owned.setdefault(str(row.get(self.owner)), []).append(key)
        self.rows[key] = row

    def delete(self, key: str) -> None:
        """Delete the row; its key keeps its place in the order, so that list cursors still work."""
        self.rows.pop(key, None)

    def owned_by(self, owner: str) -> list[Json]:
        return [self.rows[key] for key in self._owned.get(owner, ()) if key in self.rows]

    def since(self, position: int) -> list[Json]:
        """Return rows from `position` on, oldest first; 0 is the first ever."""
        return [self.rows[key] for key in self._order[position:] if key in self.rows]

    def page(
        self,
        query: PageQuery,
        wanted: Callable[[Json], bool] | None = None,
        owners: Collection[str] | None = None,
    ) -> Page:
        """Return the rows next to the cursor, newest first; with `owners`, only their rows are visited."""
        found: list[Json] = []
        for position in self._walk(query, owners):
            row = self.rows.get(self._order[position])
            if row is None or (wanted is not None and not wanted(row)):
                continue
            if len(found) == query.limit:
                return Page(_newest_first(found, query), has_more=True)
            found.append(row)
        return Page(_newest_first(found, query), has_more=False)

    def _walk(self, query: PageQuery, owners: Collection[str] | None) -> Iterable[int]:
        """Return the positions to visit, from the cursor on."""
        low, high = self._bounds(query)
        if owners is None:
            return range(low, high) if query.ending_before else range(high - 1, low - 1, -1)
        owned = [self._position[key] for owner in owners for key in self._owned.get(owner, ())]
        return sorted((one for one in owned if low <= one < high), reverse=not query.ending_before)

    def _bounds(self, query: PageQuery) -> tuple[int, int]:
        low = bisect_left(self._created, query.created_from)
        high = bisect_right(self._created, query.created_to)
        if query.starting_after:
            high = min(high, self._cursor(query, query.starting_after, "starting_after"))
        if query.ending_before:
            low = max(low, self._cursor(query, query.ending_before, "ending_before") + 1)
        return low, high

    def _cursor(self, query: PageQuery, key: str, param: str) -> int:
        if key not in self._position:
            raise missing_resource(query.noun, key, param, status=400)
        return self._position[key]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A list call; `created_from` and `created_to` are Unix seconds, both inclusive."""

    noun: str
    limit: int
    starting_after: str | None
    ending_before: str | None
    created_from: int
    created_to: int


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Json]
    has_more: bool


def _newest_first(rows: list[Json], query: PageQuery) -> list[Json]:
    return rows[::-1] if query.ending_before else rows


class Store:
    def __init__(self) -> None:
        self.tables: dict[str, Table] = {
            "payment_intent": Table(),
            "charge": Table(owner="payment_intent"),
            "refund": Table(owner="charge"),
            "dispute": Table(owner="charge"),
            "balance_transaction": Table(owner="source"),
            "customer": Table(),
            "payment_method": Table(),
            "event": Table(),
            "product": Table(),
            "webhook_endpoint": Table(),
            "delivery": Table(owner="event"),
            "instrument": Table(),
            "authenticated": Table(),
            "confirms": Table(),
            "idempotency_key": Table(),
            "timer": Table(),
            "ledger": Table(),
            "setting": Table(),
        }

    def __getitem__(self, table: str) -> Table:
        return self.tables[table]

    def apply(self, records: list[Record]) -> None:
        for table, key, row in records:
            if row is None:
                self.tables[table].delete(key)
            else:
                self.tables[table].put(key, row)

    def dump(self) -> Iterator[list[Record]]:
        """Yield everything, one row per transaction."""
        for name, table in self.tables.items():
            for key, row in table.rows.items():
                yield [(name, key, row)]


class Transaction:
    """A view of the store that buffers its writes until they are applied."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writes: dict[tuple[str, str], Json | None] = {}

    def find(self, table: str, key: str) -> Json | None:
        if (table, key) in self._writes:
            return self._writes[table, key]
        return self.store[table].rows.get(key)

    def get(self, table: str, key: str) -> Json:
        """Return a row that must exist: a `KeyError` is a bug."""
        row = self.find(table, key)
        if row is None:
            raise KeyError(table, key)
        return row

    def put(self, table: str, key: str, row: Json) -> None:
        self._writes[table, key] = row

    def delete(self, table: str, key: str) -> None:
        self._writes[table, key] = None

    def owned_by(self, table: str, owner: str) -> list[Json]:
        """Return the rows of an owner, those of this transaction included, oldest first."""
        field = self.store[table].owner or ""
        kept = [row for row in self.store[table].owned_by(owner) if (table, row["id"]) not in self._writes]
        own = [row for (name, _), row in self._writes.items() if name == table and row and row[field] == owner]
        return kept + own

    def table(self, name: str) -> Table:
        """Return the table as it was before this transaction."""
        return self.store[name]

    def count(self, table: str) -> int:
        """Count the rows of an append-only table, those of this transaction included."""
        own = sum(1 for name, _ in self._writes if name == table)
        return len(self.store[table].rows) + own

    def records(self) -> list[Record]:
        return [(table, key, row) for (table, key), row in self._writes.items()]
