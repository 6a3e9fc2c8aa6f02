"""What commands print: tables for people, one JSON document for machines. Nothing that is shown can steer the terminal."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import BaseModel

    from payment_service.flows.change import Answered, Asking

# Where no terminal sets a width, lines are as long as what they say, so that they can be searched.
_PIPE_WIDTH: Final = 2_000


def plain(value: object) -> str:
    """Text that a terminal shows and never obeys: what can't be printed is written as an escape."""
    match value:
        case None:
            return "-"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case bool():
            return "yes" if value else "no"
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(plain, value))
        case _:
            return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def show_json(model: BaseModel) -> None:
    """Print a model as one line of JSON in ASCII."""
    sys.stdout.write(json.dumps(model.model_dump(mode="json")).replace("\x7f", "\\u007f") + "\n")


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; nothing at all where there are none."""
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(Text(column, style="dim"), overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    if table.row_count:
        _console().print(table)


def show_fields(model: BaseModel, *names: str) -> None:
    """Print fields of a model, one a line."""
    table = Table.grid(padding=(0, 2))
    for name in names:
        table.add_row(Text(name, style="dim"), Text(plain(getattr(model, name))))
    _console().print(table)


def say(sentence: str) -> None:
    """Tell a person something on standard error, so that it never stands among the data."""
    sys.stderr.write(plain(sentence) + "\n")


def say_key(asking: Asking, answer: Answered) -> None:
    """Show under which key a change was made, so that it can be asked for again without being made twice."""
    then = "it was done before, and nothing was done now" if answer.replayed else "the same again does nothing twice"
    say(f"--key {asking.key} ({then})")


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
