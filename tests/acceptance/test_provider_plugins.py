"""Providers of other packages: installed, configured, served, broken."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.command import NOWHERE, assert_fails, run
from tests.support.eventually import eventually
from tests.support.flows import name_of
from tests.support.kafka import Topics
from tests.support.provider_harnesses import ACME
from tests.support.service import StartService
from tests.support.shop import ask

SECRET = "acme-secret"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install the example of docs/providers.md into a folder of its own, and return the folder."""
    folder = tmp_path_factory.mktemp("site")
    uv = Path(sys.executable).with_name("uv")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([uv, "pip", "install", *options, str(ACME)], check=True, timeout=60)
    return str(folder)


def payment(dsn: str, order_id: str) -> dict[str, Any]:
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute("SELECT * FROM payments WHERE id = %s", (name_of(order_id),)).fetchone() or {}


def order(order_id: str, **more: object) -> bytes:
    return json.dumps({"order_id": order_id, "total": "19.90", "currency": "EUR", **more}).encode()


@pytest.mark.kafka
def test_the_example_provider_accepts_an_order_and_its_webhook_pays_it(
    start_service: StartService, topics: Topics, database_dsn: str, installed: str
) -> None:
    env = {"PYTHONPATH": installed, "PROVIDERS": "stripe,acme", "ACME_SECRET": SECRET}
    service = start_service(**env)
    topics.produce([order("o-1", payment_provider="acme")])
    eventually(lambda: payment(database_dsn, "o-1").get("status") == "pending")
    row = payment(database_dsn, "o-1")
    names = {"deployment": "default", "payment_id": str(name_of("o-1"))}
    subject = {"id": row["provider_payment_id"], "state": "paid", "amount": 1990, "taken": 1990, "currency": "eur"}
    now = int(time.time())
    body = json.dumps(
        {"id": "event-1", "type": "payment", "at": now, "subject": {**subject, "at": now, "names": names}}
    )
    signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "Acme-Signature": signature}
    assert ask(f"{service.url}/webhooks/acme", body.encode(), {**headers, "Acme-Signature": "0" * 64})[0] == 400
    assert ask(f"{service.url}/webhooks/acme", b"{}", headers)[0] == 400
    assert payment(database_dsn, "o-1")["status"] == "pending"
    assert ask(f"{service.url}/webhooks/acme", body.encode(), headers)[0] == 200
    assert payment(database_dsn, "o-1")["status"] == "succeeded"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"PROVIDERS": "nobody"},
            "PROVIDERS names nobody, which no installed package provides. Installed: acme,",
        ),
        ({"PROVIDERS": "acme"}, "ACME_SECRET is not set: The secret with which Acme signs its webhooks."),
        ({"PROVIDERS": "acme", "ACME_SECRET": "short"}, "ACME_SECRET "),
        ({"PROVIDERS": "acme,acme"}, "PROVIDERS must be"),
        ({"PROVIDERS": "Acme"}, "PROVIDERS must be"),
        ({"PROVIDER_BY_CURRENCY": "sek:acme"}, "PROVIDER_BY_CURRENCY contains acme, which is not in PROVIDERS"),
        ({"PROVIDER_BY_CURRENCY": "zzz:stripe"}, "PROVIDER_BY_CURRENCY must be"),
        ({"PROVIDERS": "broken"}, "The payment provider broken cannot be loaded: ZeroDivisionError"),
        ({"PROVIDERS": "mistaken"}, "The entry point of the payment provider mistaken is not a Plugin."),
    ],
)
def test_an_unusable_provider_stops_the_start_with_one_line(
    installed: str, tmp_path: Path, changes: dict[str, str], sentence: str
) -> None:
    names = ["[payment_service.providers]", "broken = broken_provider:PLUGIN", "mistaken = json:loads"]
    folder = tmp_path / "broken-1.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("\n".join(names))
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (tmp_path / "broken_provider.py").write_text("1 / 0\n")
    env = {
        "PYTHONPATH": f"{installed}:{tmp_path}",
        "DB_DSN": NOWHERE,
        "KAFKA_BROKERS": "127.0.0.1:9",
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": "whsec_suite",
    }
    assert_fails(run("serve", env=env | changes), 2, sentence)
