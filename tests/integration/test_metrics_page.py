"""Test that a running service exports every metric that alerts and the dashboard query."""

from __future__ import annotations

import re
from typing import Final

import pytest

from payment_service.db.gauges import sample
from payment_service.telemetry import metrics
from tests.support.flows import Flows, name_of
from tests.support.http import ask
from tests.support.monitoring import QUERIES, RULES, names
from tests.support.service import StartService

SUFFIX: Final = re.compile(r"_(bucket|count|sum)$")


async def page(service_port: int) -> str:
    answer = await ask(service_port, "GET", "/metrics")
    assert answer.status == 200
    return answer.body.decode()


@pytest.mark.kafka
async def test_every_queried_metric_is_exported(start_service: StartService) -> None:
    """By the name that Prometheus stores, even before the first count."""
    text = await page(start_service().metrics_port)
    shown = {name.removesuffix("_created") for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)}
    expressions = [*(rule["expr"] for rule in RULES), *QUERIES]
    asked = {SUFFIX.sub("", name) for expression in expressions for name in names(expression)}
    assert len(asked) > 25
    assert asked <= shown


@pytest.mark.kafka
async def test_alert_counters_are_exported_at_zero(start_service: StartService) -> None:
    """For Prometheus, a counter that first appears with 1 has not increased."""
    lines = (await page(start_service().metrics_port)).splitlines()
    for series in (
        'payments_outbox_records_total{topic="payments.refund_failed"}',
        'payments_quarantined_total{reason="bad_amount",source="kafka"}',
        'payments_webhooks_refused_total{reason="no_match"}',
        'payments_webhooks_total{result="misdirected"}',
    ):
        assert f"{series} 0.0" in lines


async def test_only_disputes_with_evidence_due_soon_are_counted(flows: Flows) -> None:
    await flows.accept("o-1")
    for name, status, days in (
        ("soon", "needs_response", 2),
        ("inquiry", "warning_needs_response", 1),
        ("later", "needs_response", 5),
        ("past", "needs_response", -1),
        ("answered", "under_review", 2),
    ):
        await flows.pool.execute(
            "INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, evidence_due_at, "
            "fact_rank, fact_at, fact_precedence, fact_source) "
            "VALUES (gen_random_uuid(), $1, 'stripe', $2, 1990, 'eur', $3, 'fraudulent', now() + make_interval(days => $4), 0, 0, 0, 's')",
            name_of("o-1"),
            name,
            status,
            days,
        )
    await sample(flows.pool)
    assert metrics.DISPUTES_DUE._value.get() == 2


async def test_authorizations_that_expire_soon_are_counted(flows: Flows) -> None:
    await flows.accept("old", "new", "paid")
    await flows.pool.execute("UPDATE payments SET status = 'authorized', capture_before = now() + interval '47 hours'")
    await flows.pool.execute("UPDATE payments SET capture_before = now() + interval '49 hours' WHERE order_id = 'new'")
    await flows.pool.execute("UPDATE payments SET status = 'succeeded', captured = amount WHERE order_id = 'paid'")
    await sample(flows.pool)
    assert metrics.AUTHORIZATIONS_EXPIRING._value.get() == 1
