"""The glossary is alphabetical, and every term in it is used in the docs or in the source."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
TERMS = re.findall(r"^\| ([^|]+?) \| [^|]+ \|$", GLOSSARY.read_text(), re.MULTILINE)[1:]


def plain(text: str) -> str:
    """Write names as words: `KeysetCursor` and `keyset_cursor` are a keyset cursor."""
    return re.sub(r"[\s_-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).casefold()


def used() -> str:
    """Return all docs but the glossary, and the source of the service."""
    docs = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - {GLOSSARY}
    source = ROOT / "src" / "payment_service"
    return plain("\n".join(path.read_text() for path in (*docs, *source.rglob("*.py"), *source.rglob("*.sql"))))


def test_terms_are_in_alphabetical_order_and_defined_once() -> None:
    assert len(TERMS) > 1
    assert sorted(set(TERMS), key=str.casefold) == TERMS


def test_every_term_is_used() -> None:
    text = used()
    names = {term: plain(re.sub(r" \(.*\)", "", term)) for term in TERMS}
    assert [term for term, name in names.items() if not re.search(rf"\b{re.escape(name)}s?\b", text)] == []


def test_names_are_read_as_words() -> None:
    assert plain("KeysetCursor keyset_cursor system-initiated\noperation") == (
        "keyset cursor keyset cursor system initiated operation"
    )
