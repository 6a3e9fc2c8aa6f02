"""What the Helm chart says twice, held against the code, where no helm is needed for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from payment_service.config.config import ROLES, BankTransferSettings, Config
from payment_service.config.secret_files import is_secret
from scripts.document_configuration import CHART_SCHEMA, chart_schema

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "payment-service"
VALUES: Final = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: Final = json.loads(CHART_SCHEMA.read_text())


def test_the_chart_takes_every_setting_that_the_service_has() -> None:
    """`make docs` writes it; without its name a setting would be refused as a typing error."""
    assert CHART_SCHEMA.read_text() == chart_schema(CHART_SCHEMA.read_text())
    fields = {**Config.model_fields, **BankTransferSettings.model_fields}
    plain = {name.upper() for name, field in fields.items() if not is_secret(field)}
    assert SCHEMA["properties"]["settings"]["properties"].keys() == plain - {
        "SERVICE_PORT",
        "METRICS_PORT",
        "KAFKA_CONFIG",
    }


def test_the_chart_has_a_place_for_every_secret() -> None:
    """Those of the database and of Stripe by name, any other by `secretSettings`."""
    names = {name.upper() for name, field in Config.model_fields.items() if is_secret(field)}
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    others = names - set(re.findall(r"path: ([A-Z_]+)\b", text))
    pattern = SCHEMA["properties"]["secretSettings"]["propertyNames"]["pattern"]
    assert {"DB_DSN", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"} <= names
    assert [name for name in others if not re.fullmatch(pattern, name)] == []


def test_every_value_has_a_rule_and_every_rule_a_value() -> None:
    """At every depth where names are known."""
    jsonschema.validate(VALUES, SCHEMA)
    assert differences(VALUES, SCHEMA, "") == []


def differences(values: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    known = schema["properties"].keys() - ({"global"} if not path else set())
    found = [f"{path}{name}" for name in known ^ values.keys()]
    for name, part in schema["properties"].items():
        if "properties" in part and path + name not in {"settings", "roles"}:
            found += differences(values[name], part, f"{path}{name}.")
    return found


def test_the_roles_of_the_chart_are_those_of_the_service() -> None:
    assert set(SCHEMA["properties"]["roles"]["properties"]) == set(ROLES)
    assert set(SCHEMA["properties"]["roles"]["anyOf"][1]["required"]) == set(ROLES)


def test_what_the_chart_assumes_of_a_setting_is_its_default() -> None:
    text = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    assumed = re.findall(r'default "?([\w-]+)"? \$?\.Values\.settings\.([A-Z_]+)', text)
    assert {name for _, name in assumed} == {"SHUTDOWN_GRACE_S", "PROVIDERS", "KAFKA_GROUP_ID"}
    for value, name in assumed:
        default = Config.model_fields[name.lower()].default
        assert value == (",".join(default) if isinstance(default, tuple) else str(default))


def test_a_process_is_asked_for_as_much_memory_as_was_measured() -> None:
    """More than its peak under load, and a limit that only a fault reaches."""
    peak_mb = re.search(r"(\d+) MB at its peak", (ROOT / "docs" / "benchmarks.md").read_text())
    assert peak_mb is not None
    asked, limit = (int(VALUES["resources"][it]["memory"].removesuffix("Mi")) for it in ("requests", "limits"))
    assert int(peak_mb[1]) < asked
    assert limit >= 3 * int(peak_mb[1])


@pytest.mark.parametrize("name", ["settings.KAFKA_BROKERS", "database.existingSecret", "stripe.existingSecret"])
def test_the_papers_name_what_has_to_be_set(name: str) -> None:
    for paper in (CHART / "values.yaml", CHART / "README.md", CHART / "templates" / "_required.tpl"):
        assert name in paper.read_text()
