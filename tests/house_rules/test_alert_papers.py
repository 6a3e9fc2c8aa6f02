"""The alerts and the dashboard, held against the runbook and the metrics, where no promtool is needed for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import REGISTRY

from payment_service.telemetry import metrics
from tests.support.monitoring import DASHBOARD, PANELS, QUERIES, RULES, names

ROOT: Final = Path(__file__).parents[2]
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()
NAMES: Final = [rule["alert"] for rule in RULES]


def section(name: str) -> str:
    """Return the section of the runbook on an alert."""
    return RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_alert_has_a_heading_in_the_runbook_and_every_heading_an_alert() -> None:
    assert sorted(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == sorted(NAMES)
    assert re.findall(r"^## .*[^\w\s#].*$", RUNBOOK, re.MULTILINE) == []
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_has_a_severity_and_a_link_to_its_section_of_the_runbook(rule: dict[str, Any]) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert rule["annotations"]["summary"]
    assert section(rule["alert"]).strip()


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_names_no_label_that_its_expression_does_not_keep(rule: dict[str, Any]) -> None:
    """Such a summary would have a hole in it."""
    kept = {label.strip() for labels in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for label in labels.split(",")}
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= kept


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_metric_and_label_of_an_alert_is_one_that_the_service_has(rule: dict[str, Any]) -> None:
    assert metrics.LOOP_LAG_SECONDS is not None  # its import registers all of them
    declared = {family.name: family for family in REGISTRY.collect()}
    found = re.findall(r"(payments_\w+?)(_total)?(?:\{([^}]*)\})?(?=[\s)\[>{]|$)", rule["expr"])
    assert found
    for name, _, labels in found:
        assert name in declared, name
        assert set(re.findall(r"(\w+)=", labels)) <= labels_of(name)


def labels_of(name: str) -> set[str]:
    """The labels that a metric is declared with."""
    collector = REGISTRY._names_to_collectors[name]
    return set(getattr(collector, "_labelnames", ()))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_every_panel_has_queries_whose_legends_use_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
    for target in panel["targets"]:
        kept = {
            word.strip() for labels in re.findall(r"by \(([\w, ]+)\)", target["expr"]) for word in labels.split(",")
        }
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept


def test_the_dashboard_is_grouped_by_what_is_asked_about_and_asks_nothing_twice() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Money", "Provider", "Kafka", "Webhooks", "Database", "Process"]
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_metric_of_the_service_is_on_the_dashboard() -> None:
    """Each was declared for a question; the dashboard is where it is asked."""
    shown = {re.sub(r"_(bucket|count|sum|total)$", "", name) for query in QUERIES for name in names(query)}
    source = (ROOT / "src" / "payment_service" / "telemetry" / "metrics.py").read_text()
    declared = {name.removesuffix("_total") for name in re.findall(r'"(payments_\w+)"', source)}
    assert declared == {name for name in shown if name.startswith("payments_")}
