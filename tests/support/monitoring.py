"""Return the metrics that the alerts and the dashboard query."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from scripts.document_monitoring import ALERTS, DASHBOARD, RULES, names

__all__ = ["ALERTS", "DASHBOARD", "DEPLOY", "PANELS", "QUERIES", "RULES", "names"]

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
# Without the rows, and without the list of alerts, which has no query.
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] not in {"row", "alertlist"}]
# Grafana replaces this variable with a time span.
QUERIES: Final = [target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]]
