"""Test that a running service exports every metric that alerts and the dashboard query."""

from __future__ import annotations

import re
from typing import Final

import pytest

from payment_service.db.gauges import sample
from payment_service.telemetry import metrics
from tests.support.flows import Flows, name_of
from tests.support.harness import Harness
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


async def test_refunds_that_are_pending_for_long_are_counted(flows: Flows) -> None:
    await flows.accept("o-1")
    for status, days in (("pending", 11), ("requires_action", 11), ("pending", 9), ("succeeded", 11)):
        await flows.pool.execute(
            "INSERT INTO refunds (id, payment_id, provider, amount, currency, status, external, created_at)"
            " VALUES (gen_random_uuid(), $1, 'stripe', 100, 'eur', $2, true, now() - make_interval(days => $3))",
            name_of("o-1"),
            status,
            days,
        )
    await sample(flows.pool)
    assert metrics.REFUNDS_PENDING_LONG._value.get() == 2


async def test_payments_with_many_declines_are_counted_for_a_day(flows: Flows) -> None:
    await flows.accept("tested", "tried", "yesterday")
    await flows.pool.execute("UPDATE payments SET declines = array_fill('ch'::text, ARRAY[10])")
    await flows.pool.execute("UPDATE payments SET declines = declines[2:] WHERE order_id = 'tried'")
    await flows.pool.execute(
        "UPDATE payments SET created_at = now() - interval '25 hours' WHERE order_id = 'yesterday'"
    )
    await sample(flows.pool)
    assert metrics.DECLINED_OFTEN._value.get() == 1


async def test_money_is_counted_in_whole_minor_units(harness: Harness) -> None:
    def counted(status: str) -> float:
        return float(metrics.MONEY_MINOR.labels("eur", status)._value.get())

    before = {status: counted(status) for status in ("captured", "refunded")}
    name = await harness.pay("o-1")
    assert (await harness.refund(name, "5.00")).status == 201
    await harness.run_until_idle()
    assert {status: counted(status) - number for status, number in before.items()} == {
        "captured": 1990,
        "refunded": 500,
    }


@pytest.mark.kafka
async def test_a_running_service_shows_its_build_its_pools_and_its_api(start_service: StartService) -> None:
    service = start_service()
    await ask(service.service_port, "GET", "/v1/payments/unknown")
    await ask(service.service_port, "GET", "/v1/payments/other")
    await ask(service.service_port, "GET", "/nowhere")
    text = await page(service.metrics_port)
    assert re.search(r'^payments_build_info\{python="3\.\d+\.\d+",revision="",version="\S+"\} 1.0$', text, re.MULTILINE)
    assert 'payments_database_connections{pool="work",state="limit"} 10.0' in text
    assert 'payments_database_connections{pool="reads",state="waiting"} 0.0' in text
    counted = 'payments_http_request_seconds_count{method="%s",route="%s",status="4xx"} %s'
    assert counted % ("GET", "/v1/payments/{payment_id}", 2.0) in text
    assert counted % ("any", "none", 1.0) in text
