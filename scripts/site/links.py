"""Rewrite the links of a page for its place in the site. A link to nothing in the site becomes plain text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

FENCED: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")


def rewrite(text: str, source: Path, place: str, find: Callable[[Path], str | None]) -> str:
    """Return a page of `source` for `place` in the site. `find` returns the place of a file, or None."""

    def one(match: re.Match[str]) -> str:
        image, label, link, anchor = match.groups()
        target = find((source.parent / link).resolve())
        if target is None:
            return str(label)
        relative = os.path.relpath(target, PurePosixPath(place).parent)
        return f"{image}[{label}]({relative}{anchor or ''})"

    return "".join(part if part.startswith("```") else LINK.sub(one, part) for part in _split(text))


def _split(text: str) -> list[str]:
    """Return the fenced blocks of a page and the text between them."""
    parts, end = [], 0
    for block in FENCED.finditer(text):
        parts += [text[end : block.start()], block.group()]
        end = block.end()
    return [*parts, text[end:]]
