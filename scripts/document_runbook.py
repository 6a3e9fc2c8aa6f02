"""Write the sections of the runbook that the page "Needs attention" shows: `src/payment_service/pages/runbook.json`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from payment_service.pages.guidance import RUNBOOK_FILE, SECTIONS

ROOT: Final = Path(__file__).resolve().parents[1]


def document() -> str:
    """Return the file: each section as HTML, by its heading."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    return json.dumps({title: render(section(text, title)) for title in SECTIONS}, indent=1, ensure_ascii=False) + "\n"


def section(text: str, title: str) -> str:
    """Return the text below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(##+) {re.escape(title)}\n(.*?)(?=^##? |^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"docs/runbook.md has no section {title!r}: correct payment_service/pages/guidance.py.")
    return found[2].strip()


def render(text: str) -> str:
    """Return Markdown as HTML. Links to other pages become text, because the service does not serve them."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        if token.children:
            token.children = _without_relative_links(token.children)
        if token.type == "fence":
            token.info = ""
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return html.replace("<pre>", '<pre tabindex="0">')


def _without_relative_links(tokens: list[Token]) -> list[Token]:
    kept: list[Token] = []
    dropped = False
    for token in tokens:
        if token.type == "link_open":
            dropped = not str(token.attrs["href"]).startswith("https://")
            token.attrs |= {"target": "_blank", "rel": "noreferrer"}
        if not (dropped and token.type in {"link_open", "link_close"}):
            kept.append(token)
    return kept


if __name__ == "__main__":
    RUNBOOK_FILE.write_text(document())
