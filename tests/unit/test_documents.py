"""Documents that are drawn from the code say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from payment_service.domain.payment import STATUS_ORDER, TRANSITIONS, Status
from payment_service.domain.refund import REFUND_STATUS_ORDER, RefundStatus
from scripts import document_commands
from scripts.document_states import document

ROOT = Path(__file__).resolve().parents[2]


def page() -> str:
    return (ROOT / "docs" / "state-machines.md").read_text()


def test_the_documented_transition_tables_equal_the_codes() -> None:
    """`.venv/bin/python scripts/document_states.py` writes the page."""
    assert page() == document()


def test_the_diagram_has_every_transition_and_no_other() -> None:
    """Read back from the page, so that a fault of the generator is found too."""
    drawn = {(Status(a), Status(b)) for a, b in re.findall(r"^    (\w+) --> (\w+)$", page(), re.MULTILINE)}
    assert drawn == {(before, after) for before, following in TRANSITIONS.items() for after in following}


def test_the_table_has_every_transition_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]*\|$", page(), re.MULTILINE)
    table = {
        Status(name): frozenset(Status(after) for after in re.findall(r"`(\w+)`", following))
        for name, following in rows
    }
    assert table == dict(TRANSITIONS)


def test_the_standing_of_every_fact_is_told() -> None:
    of_payments, _, of_refunds = page().partition("## A refund")
    rows = re.compile(r"^\| `(\w+)` \| (\d) \| (\d) \|$", re.MULTILINE)
    told = {Status(name): (int(rank), int(place)) for name, rank, place in rows.findall(of_payments)}
    assert told == dict(STATUS_ORDER)
    told_of_refunds = {RefundStatus(name): (int(rank), int(place)) for name, rank, place in rows.findall(of_refunds)}
    assert told_of_refunds == dict(REFUND_STATUS_ORDER)


def test_the_page_of_the_command_line_says_what_the_commands_say() -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs" / "cli.md").read_text() == document_commands.document()
