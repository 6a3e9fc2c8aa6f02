"""Divide `docs/cli.md` into the commands and their JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

SOURCE: Final = "docs/cli.md"
JSON: Final = "cli-json.md"
_DIVIDER: Final = "\n## What `--json` prints\n"


def commands_only(source: str, text: str) -> str:
    """Return a page; that of the commands without its part on JSON."""
    return _linked(text.partition(_DIVIDER)[0], f"../generated/{JSON}") if source == SOURCE else text


def command_pages() -> dict[str, str]:
    """Return the page on JSON."""
    text = (Path(__file__).resolve().parents[2] / SOURCE).read_text()
    return {JSON: _linked(f"# What `--json` prints\n{text.partition(_DIVIDER)[2]}", f"../{SOURCE}")}


def _linked(text: str, other: str) -> str:
    """Let anchors that are not in this part lead to the other one."""
    own = {
        re.sub(r"[^\w\- ]", "", found.lower()).replace(" ", "-")
        for found in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    return re.sub(r"\]\(#([^)]+)\)", lambda found: found[0] if found[1] in own else f"]({other}#{found[1]})", text)
