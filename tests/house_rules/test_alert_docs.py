"""The alerts and the dashboard match the runbook and the metrics, as far as that can be checked without promtool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import REGISTRY

from payment_service.telemetry import metrics
from tests.support.drill import DRILLS
from tests.support.monitoring import DASHBOARD, PANELS, QUERIES, RULES, names

ROOT: Final = Path(__file__).parents[2]
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text()
NAMES: Final = [rule["alert"] for rule in RULES]


def section(name: str) -> str:
    """Return the section of the runbook on an alert."""
    return RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_alerts_and_headings_of_the_runbook_match() -> None:
    assert sorted(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == sorted(NAMES)
    assert re.findall(r"^## .*[^\w\s#].*$", RUNBOOK, re.MULTILINE) == []
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_has_a_severity_and_links_to_its_runbook_section(rule: dict[str, Any]) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert rule["annotations"]["summary"]
    assert section(rule["alert"]).strip()


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_summary_of_an_alert_uses_only_labels_of_its_expression(rule: dict[str, Any]) -> None:
    """A missing label would leave a gap in the summary."""
    kept = {label.strip() for labels in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for label in labels.split(",")}
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= kept


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_metric_and_label_of_an_alert_exists(rule: dict[str, Any]) -> None:
    assert metrics.LOOP_LAG_SECONDS is not None  # importing this module registers all metrics
    declared = {family.name: family for family in REGISTRY.collect()}
    found = re.findall(r"(payments_\w+?)(_total)?(?:\{([^}]*)\})?(?=[\s)\[>{]|$)", rule["expr"])
    assert found
    for name, _, labels in found:
        assert name in declared, name
        assert set(re.findall(r"(\w+)=", labels)) <= labels_of(name)


def test_the_runbook_shows_the_drill() -> None:
    shown = [line for line in RUNBOOK.splitlines() if re.fullmatch(r"\|.*\| \d+ s \|.*\|", line)]
    assert shown == [
        f"| {drill.title} | [{drill.alert}](#{drill.alert.lower()}) | {drill.within_s} s |"
        f" {'by itself' if drill.resolves else 'by you'} |"
        for drill in DRILLS
    ]


def labels_of(name: str) -> set[str]:
    """Return the labels that a metric is declared with."""
    collector = REGISTRY._names_to_collectors[name]
    return set(getattr(collector, "_labelnames", ()))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_the_legends_of_a_panel_use_only_labels_of_its_query(panel: dict[str, Any]) -> None:
    assert all(target["expr"] and target["legendFormat"] for target in panel["targets"])
    for target in panel["targets"]:
        kept = {
            word.strip() for labels in re.findall(r"by \(([\w, ]+)\)", target["expr"]) for word in labels.split(",")
        }
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept


def test_the_dashboard_has_its_rows_and_no_panel_twice() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Now", "Money", "Provider", "Kafka", "Webhooks", "Database", "Process"]
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_metric_of_the_service_is_on_the_dashboard() -> None:
    """A metric that no panel shows answers no question."""
    shown = {re.sub(r"_(bucket|count|sum|total)$", "", name) for query in QUERIES for name in names(query)}
    source = (ROOT / "src" / "payment_service" / "telemetry" / "metrics.py").read_text()
    declared = {name.removesuffix("_total") for name in re.findall(r'"(payments_\w+)"', source)}
    assert declared == {name for name in shown if name.startswith("payments_")}


def test_the_dashboard_begins_with_numbers_and_the_alerts_and_links_to_the_runbook() -> None:
    first = [panel["type"] for panel in DASHBOARD["panels"] if panel["gridPos"]["y"] < 12]
    assert first.count("stat") >= 5
    assert first[-2:] == ["alertlist", "row"]
    headings = {
        re.sub(r"[^a-z-]", "", line.lower().replace(" ", "-"))
        for line in re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    }
    links = [link["url"] for panel in DASHBOARD["panels"] for link in panel.get("links", ())]
    assert len(links) >= 5
    assert {link.removeprefix("${runbook:raw}#") for link in links} <= headings


def test_no_panel_of_the_dashboard_covers_another() -> None:
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
