"""Generated docs match the code."""

from __future__ import annotations

import re
from pathlib import Path

from payment_service.domain.payment import STATUS_ORDER, TRANSITIONS, Status
from payment_service.domain.refund import REFUND_STATUS_ORDER, RefundStatus
from payment_service.pages.guidance import RUNBOOK_FILE
from scripts import document_commands, document_monitoring, document_runbook
from scripts.document_states import document

ROOT = Path(__file__).resolve().parents[2]


def page() -> str:
    return (ROOT / "docs" / "state-machines.md").read_text()


def test_the_state_machine_page_is_current() -> None:
    """Run `make docs` after a change of the transitions."""
    assert page() == document()


def test_the_diagram_has_exactly_the_transitions_of_the_code() -> None:
    """Parse the page, so that a fault of the generator is detected too."""
    drawn = {(Status(a), Status(b)) for a, b in re.findall(r"^    (\w+) --> (\w+)$", page(), re.MULTILINE)}
    assert drawn == {(before, after) for before, following in TRANSITIONS.items() for after in following}


def test_the_table_has_exactly_the_transitions_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]*\|$", page(), re.MULTILINE)
    table = {
        Status(name): frozenset(Status(after) for after in re.findall(r"`(\w+)`", following))
        for name, following in rows
    }
    assert table == dict(TRANSITIONS)


def test_the_precedence_of_every_fact_is_documented() -> None:
    of_payments, _, of_refunds = page().partition("## A refund")
    rows = re.compile(r"^\| `(\w+)` \| (\d) \| (\d) \|$", re.MULTILINE)
    payment_facts = {Status(name): (int(rank), int(place)) for name, rank, place in rows.findall(of_payments)}
    assert payment_facts == dict(STATUS_ORDER)
    refund_facts = {RefundStatus(name): (int(rank), int(place)) for name, rank, place in rows.findall(of_refunds)}
    assert refund_facts == dict(REFUND_STATUS_ORDER)


def test_the_command_line_page_is_current() -> None:
    """Run `make docs` after a change of the commands."""
    assert (ROOT / "docs" / "cli.md").read_text() == document_commands.document()


def test_the_pages_on_metrics_and_alerts_are_current() -> None:
    """Run `make docs` after a change of a metric, an alert or the dashboard."""
    assert (ROOT / "docs" / "metrics.md").read_text() == document_monitoring.metrics_page()
    assert (ROOT / "docs" / "alerts.md").read_text() == document_monitoring.alerts_page()


def test_every_metric_and_alert_has_its_row() -> None:
    metrics, alerts = ((ROOT / "docs" / name).read_text() for name in ("metrics.md", "alerts.md"))
    source = (ROOT / "src" / "payment_service" / "telemetry" / "metrics.py").read_text()
    assert sorted(re.findall(r"^\| `(\w+)` \|", metrics, re.MULTILINE)) == sorted(
        re.findall(r'"(payments_\w+)"', source)
    )
    assert sorted(re.findall(r"^### (\w+)$", alerts, re.MULTILINE)) == sorted(
        rule["alert"] for rule in document_monitoring.RULES
    )


def test_the_pages_show_the_sections_of_the_runbook() -> None:
    """Run `make docs` after a change of docs/runbook.md."""
    assert RUNBOOK_FILE.read_text() == document_runbook.document()
