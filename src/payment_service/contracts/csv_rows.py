"""Lists as CSV (RFC 4180), one row per entry, for spreadsheets and accounting. Pure.

A spreadsheet runs a cell that begins like a formula (https://owasp.org/www-community/attacks/CSV_Injection). Customers choose
some of these texts, so such a cell gets an apostrophe in front, which spreadsheets hide.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_header(model: type[BaseModel]) -> str:
    """Return the header line. Fields of a field are named with a dot: `payment_method.last4`."""
    return _line(_names(model))


def csv_lines(entries: Iterable[BaseModel]) -> Iterator[str]:
    """Yield a line for each entry, in the order of the header."""
    for entry in entries:
        yield _line(_cell(value) for value in _values(type(entry), entry))


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is None:
            yield prefix + name
        else:
            yield from _names(inner, f"{prefix}{name}.")


def _values(model: type[BaseModel], entry: BaseModel | None) -> Iterator[Any]:
    for name, field in model.model_fields.items():
        inner, value = _model_in(field.annotation), getattr(entry, name, None)
        if inner is None:
            yield value
        else:
            yield from _values(inner, value)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a field that holds one, or None: `X`, or `X | None`."""
    options = (annotation, *get_args(annotation))
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case dict() | list():
            text = json.dumps(value, ensure_ascii=False) if value else ""
        case _:
            text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
