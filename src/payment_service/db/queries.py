"""Named SQL: a `.sql` file next to the module that runs it, with one `-- name: x` block per query."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import SimpleNamespace

_BLOCK = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


@cache
def load(package: str, file: str) -> SimpleNamespace:
    """Read `file` in `package`; each block becomes an attribute with its SQL text."""
    text = files(package).joinpath(file).read_text()
    return SimpleNamespace(**{name: sql.strip() for name, sql in _BLOCK.findall(text)})
