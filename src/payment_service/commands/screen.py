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

    from payment_service.contracts.operators import ApiKeys, ParkedList, QuarantinedList, Released, Replayed
    from payment_service.flows.requests.idempotency import ChangeRequest, ChangeResult

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


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, wrapped: str = "") -> None:
    """Print rows under their columns; nothing at all where there are none.

    Ids are there to be copied: where the lines would not fit, each row is a block instead. Only `wrapped`, a column, is broken.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        return
    console = _console()
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if not wrapped and sum(widths) + 2 * (len(widths) - 1) > console.width:
        _show_blocks(console, title, columns, cells)
        return
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, show_edge=False)
    table.padding = (0, 2, 0, 0)
    for column in columns:
        table.add_column(Text(column, style="dim"), overflow="fold", no_wrap=column != wrapped)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _show_blocks(console: Console, title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    console.print(Text(title, style="bold"))
    for row in cells:
        console.print(_pairs(columns, row), "")


def _pairs(names: Sequence[str], texts: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in zip(names, texts, strict=True):
        table.add_row(Text(name, style="dim"), Text(text, overflow="fold"))
    return table


def show_fields(model: BaseModel, *names: str) -> None:
    """Print fields of a model, one a line."""
    _console().print(_pairs(names, [plain(getattr(model, name)) for name in names]))


def show_list(
    title: str, found: ApiKeys | ParkedList | QuarantinedList, columns: Sequence[str], *, empty: str, as_json: bool
) -> None:
    """Print a list: JSON, or a table of some fields of its rows; `empty` is said where there are none."""
    if as_json:
        show_json(found)
        return
    show_table(title, columns, ([getattr(row, name) for name in columns] for row in found.data))
    if not found.data:
        say(empty)


def show_done(done: Released | Replayed, *, as_json: bool) -> None:
    """Print what a change came to, and which command tells of its payment."""
    if as_json:
        show_json(done)
        return
    show_fields(done, *type(done).model_fields)
    if done.payment_id:
        say(f"payment-service show {done.payment_id}   tells what comes of it")


def say(sentence: str) -> None:
    """Tell a person something on standard error, so that it never stands among the data."""
    sys.stderr.write(plain(sentence) + "\n")


def say_key(change_request: ChangeRequest, answer: ChangeResult) -> None:
    """Show under which key a change was made, so that it can be asked for again without being made twice."""
    then = "it was done before, and nothing was done now" if answer.replayed else "the same again does nothing twice"
    say(f"--key {change_request.key} ({then})")


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
