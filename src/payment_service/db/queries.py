"""Named SQL: a `.sql` file next to the module that runs it, with one `-- name: x` block per query.

A list of columns that several queries share is written once, as a `-- columns: x` block: a line per column, `name`, or
`name type`, or `name type = expression`. In the queries `{x}` is the list of names, `{x.arrays 4}` the parameters of
`unnest` from $4 on, and `{x.set}` the assignments of an UPDATE from `v`. Python reads the order of the parameters from the
same block.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import SimpleNamespace
from typing import NamedTuple

_BLOCK = re.compile(r"^-- (name|columns): (\w+)\n(.*?)(?=^-- (?:name|columns): |\Z)", re.MULTILINE | re.DOTALL)
_LIST = re.compile(r"\{(\w+)(?:\.(set|arrays (\d+)))?\}")


class Column(NamedTuple):
    """A column of a shared list. `value`: the expression that an UPDATE assigns."""

    name: str
    type: str
    value: str


@cache
def load(package: str, file: str) -> SimpleNamespace:
    """Read `file` in `package`; each `name` block becomes an attribute with its SQL text."""
    blocks = _blocks(package, file)
    lists = {name: _columns(text) for kind, name, text in blocks if kind == "columns"}

    def expand(match: re.Match[str]) -> str:
        return _list(lists[match[1]], match[2] or "", int(match[3] or 0)) if match[1] in lists else match[0]

    return SimpleNamespace(**{name: _LIST.sub(expand, text.strip()) for kind, name, text in blocks if kind == "name"})


def columns(package: str, file: str, name: str) -> tuple[Column, ...]:
    """Return the columns of a `columns` block, in their order."""
    return next(_columns(text) for kind, found, text in _blocks(package, file) if (kind, found) == ("columns", name))


def _blocks(package: str, file: str) -> list[tuple[str, str, str]]:
    return _BLOCK.findall(files(package).joinpath(file).read_text())


def _columns(text: str) -> tuple[Column, ...]:
    found = []
    for line in text.splitlines():
        if not line or line.startswith("--"):
            continue
        declared, _, value = line.partition(" = ")
        name, _, sql_type = declared.partition(" ")
        found.append(Column(name, sql_type.strip(), value.strip() or f"v.{name}"))
    return tuple(found)


def _list(found: tuple[Column, ...], form: str, first: int) -> str:
    if form == "set":
        return ", ".join(f"{column.name} = {column.value}" for column in found)
    if form:
        return ", ".join(f"${number}::{column.type}[]" for number, column in enumerate(found, first))
    return ", ".join(column.name for column in found)
