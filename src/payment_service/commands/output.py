"""Output of commands: tables for people, JSON for programs. Escapes keep data from controlling the terminal."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from payment_service.contracts.api import PaymentMethod

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import BaseModel

    from payment_service.contracts.operators import ApiKeys, ApprovalRequests, AttentionList, AttentionResult
    from payment_service.flows.requests.idempotency import ChangeRequest, ChangeResult

# Without a terminal, lines are as long as their content, so that they can be searched.
_PIPE_WIDTH: Final = 2_000


def plain(value: object) -> str:
    """Return text for a terminal, with unprintable characters as escapes."""
    match value:
        case None:
            return "-"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case bool():
            return "yes" if value else "no"
        case PaymentMethod():
            return plain(value.in_words())
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(plain, value))
        case _:
            return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def print_json(model: BaseModel) -> None:
    """Print a model as one line of ASCII JSON."""
    sys.stdout.write(json.dumps(model.model_dump(mode="json")).replace("\x7f", "\\u007f") + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, wrapped: str = "") -> None:
    """Print a table, or nothing without rows.

    Ids must stay copyable: if a row does not fit the width, rows are printed as blocks. Only the column `wrapped` may
    break.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        return
    console = _console()
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    if not wrapped and sum(widths) + 2 * (len(widths) - 1) > console.width:
        _print_blocks(console, title, columns, cells)
        return
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, show_edge=False)
    table.padding = (0, 2, 0, 0)
    for column in columns:
        table.add_column(Text(column, style="dim"), overflow="fold", no_wrap=column != wrapped)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_blocks(console: Console, title: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    console.print(Text(title, style="bold"))
    for row in cells:
        console.print(_pairs(columns, row), "")


def _pairs(names: Sequence[str], texts: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in zip(names, texts, strict=True):
        table.add_row(Text(name, style="dim"), Text(text, overflow="fold"))
    return table


def print_fields(model: BaseModel, *names: str) -> None:
    """Print fields of a model, one per line."""
    _console().print(_pairs(names, [plain(getattr(model, name)) for name in names]))


def print_list(
    title: str, found: ApiKeys | ApprovalRequests | AttentionList, columns: Sequence[str], *, empty: str, as_json: bool
) -> None:
    """Print a list as JSON or as a table of some fields; `empty` replaces a table without rows."""
    if as_json:
        print_json(found)
        return
    print_table(title, columns, ([getattr(row, name) for name in columns] for row in found.data))
    if not found.data:
        print_note(empty)


def print_result(done: AttentionResult, *, as_json: bool) -> None:
    """Print the result of a change, and the command that shows its payment."""
    if as_json:
        print_json(done)
        return
    print_fields(done, *type(done).model_fields)
    if done.payment_id:
        print_note(f"Follow it with: payment-service show {done.payment_id}")


def print_line(sentence: str) -> None:
    """Print a sentence on standard output."""
    sys.stdout.write(plain(sentence) + "\n")


def print_note(sentence: str) -> None:
    """Print a sentence on standard error, apart from the data."""
    sys.stderr.write(plain(sentence) + "\n")


def print_key(change_request: ChangeRequest, answer: ChangeResult) -> None:
    """Print the idempotency key of a change, so that the change can be repeated safely."""
    then = (
        "this was done before; nothing was done now"
        if answer.replayed
        else "repeating the command with this key changes nothing"
    )
    print_note(f"--key {change_request.key} ({then})")


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
