"""Values that the Helm chart repeats match the code, as far as that can be checked without helm."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from payment_service.config.config import ROLES, Config
from payment_service.config.secret_files import is_secret
from scripts.document_configuration import CHART_SCHEMA, FIELDS, chart_schema

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "payment-service"
VALUES: Final = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Final = json.loads(CHART_SCHEMA.read_text())


def test_the_chart_accepts_every_setting_of_the_service() -> None:
    """`make docs` writes the schema; without its name a setting would be rejected as a typo."""
    assert CHART_SCHEMA.read_text() == chart_schema(CHART_SCHEMA.read_text())
    plain = {name.upper() for name, field in FIELDS.items() if not is_secret(field)}
    assert SCHEMA["properties"]["settings"]["properties"].keys() == plain - {
        "SERVICE_PORT",
        "METRICS_PORT",
        "KAFKA_CONFIG",
    }


def test_the_chart_accepts_every_secret() -> None:
    """It takes secrets of the database and of Stripe by name, and others by `secretSettings`."""
    names = {name.upper() for name, field in Config.model_fields.items() if is_secret(field)}
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    others = names - set(re.findall(r"path: ([A-Z_]+)\b", text))
    pattern = SCHEMA["properties"]["secretSettings"]["propertyNames"]["pattern"]
    assert {"DB_DSN", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"} <= names
    assert [name for name in others if not re.fullmatch(pattern, name)] == []


def test_values_and_their_schema_have_the_same_names() -> None:
    """The test compares every depth at which names are fixed."""
    jsonschema.validate(VALUES, SCHEMA)
    assert differences(VALUES, SCHEMA, "") == []


def differences(values: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    known = schema["properties"].keys() - ({"global"} if not path else set())
    found = [f"{path}{name}" for name in known ^ values.keys()]
    for name, part in schema["properties"].items():
        if "properties" in part and path + name not in {"settings", "roles"}:
            found += differences(values[name], part, f"{path}{name}.")
    return found


def test_the_chart_has_the_roles_of_the_service() -> None:
    # The chart does not run the operators' pages in a Deployment of their own.
    roles = set(ROLES) - {"pages"}
    assert set(SCHEMA["properties"]["roles"]["properties"]) == roles
    assert set(SCHEMA["properties"]["roles"]["anyOf"][1]["required"]) == roles


def test_defaults_in_the_templates_equal_those_of_the_settings() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    assumed = re.findall(r'default "?([\w-]+)"? \$?\.Values\.settings\.([A-Z_]+)', text)
    assert {name for _, name in assumed} == {"SHUTDOWN_GRACE_S", "PROVIDERS", "KAFKA_GROUP_ID"}
    for value, name in assumed:
        default = Config.model_fields[name.lower()].default
        assert value == (",".join(default) if isinstance(default, tuple) else str(default))


def test_memory_requests_and_limits_exceed_the_measured_peak() -> None:
    """The request exceeds the peak under load, and only a fault reaches the limit."""
    peak_mb = re.search(r"(\d+) MB at its peak", (ROOT / "docs" / "benchmarks.md").read_text())
    assert peak_mb is not None
    asked, limit = (int(VALUES["resources"][it]["memory"].removesuffix("Mi")) for it in ("requests", "limits"))
    assert int(peak_mb[1]) < asked
    assert limit >= 3 * int(peak_mb[1])


@pytest.mark.parametrize("name", ["settings.KAFKA_BROKERS", "database.existingSecret", "stripe.existingSecret"])
def test_the_docs_of_the_chart_name_every_required_value(name: str) -> None:
    for document in (CHART / "values.yaml", CHART / "README.md", CHART / "templates" / "_required.tpl"):
        assert name in document.read_text()
