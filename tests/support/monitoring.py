"""Return the metrics that the alerts and the dashboard query."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yaml"
RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: Final[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "payment-service.json").read_text())
# Without the rows, and without the list of alerts, which has no query.
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] not in {"row", "alertlist"}]
# Grafana replaces this variable with a time span.
QUERIES: Final = [target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]]

_NAME: Final = re.compile(r"\b(?:payments|process)_[a-z_]+\b(?=[\[{)\s]|$)")


def names(expression: str) -> set[str]:
    """Return the metrics in an expression."""
    return set(_NAME.findall(expression))
