"""Write the tables of published events in `docs/records.md` and `docs/consuming.md` from their declarations. A test compares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from payment_service.contracts.schemas import all_schemas
from payment_service_events.published_events import EVENTS

ROOT: Final = Path(__file__).resolve().parents[1]


def topics_table() -> str:
    """Return each topic with its fields and the time of its publication."""
    schemas = all_schemas()
    rows = ["| Topic | Fields | When |", "|---|---|---|"]
    for topic, kind in EVENTS.items():
        fields = ", ".join(f"`{name}`" for name in schemas[f"{topic}.value"]["properties"])
        rows.append(f"| `{topic}` | {fields} | {kind.docs.when} |")
    return "\n".join(rows)


def responses_table() -> str:
    """Return the responses of an order service to each event."""
    rows = ["| Event | State of the order | Response |", "|---|---|---|"]
    for kind in EVENTS.values():
        for state, response, case in kind.docs.responses:
            rows.append(f"| `{kind.__name__}`{case and f', {case}'} | {state} | {response} |")
    return "\n".join(rows)


# The page and the marker of each table.
TABLES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {("docs/records.md", "topics"): topics_table(), ("docs/consuming.md", "responses"): responses_table()}
)


def with_tables(name: str, page: str) -> str:
    """Return a page with its tables as declared."""
    for (page_name, marker), table in TABLES.items():
        if page_name == name:
            before, begin, rest = page.partition(f"<!-- {marker} -->\n")
            _, end, after = rest.partition(f"\n<!-- /{marker} -->")
            if not end:
                message = f"{name} has no table between <!-- {marker} --> and <!-- /{marker} -->: add the markers."
                raise RuntimeError(message)
            page = before + begin + table + end + after
    return page


def main() -> None:
    """Write the tables."""
    for name in {name for name, _ in TABLES}:
        path = ROOT / name
        path.write_text(with_tables(name, path.read_text()))


if __name__ == "__main__":
    main()
