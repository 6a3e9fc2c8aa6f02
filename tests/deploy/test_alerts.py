"""The alerts, evaluated by Prometheus: each fires on its condition, and not on similar, harmless series."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.monitoring import ALERTS, QUERIES, RULES

pytestmark = [pytest.mark.promtool, pytest.mark.timeout(60)]

ACCEPTED: Final = 'payments_webhooks_total{result="applied"}'
CREATED: Final = 'payments_provider_calls_total{provider="stripe",kind="create",outcome="done"}'
UNKNOWN: Final = 'payments_provider_calls_total{provider="stripe",kind="create",outcome="unknown"}'
OLDEST: Final = 'payments_oldest_unfinished_operation_seconds{provider="stripe"}'
LAG: Final = 'payments_consumer_lag_records{topic="orders.created",partition="0"}'
# The end of this partition is unknown: it must not reduce the lag of other partitions.
UNKNOWN_LAG: Final = {'payments_consumer_lag_records{topic="orders.created",partition="9"}': "-1x30"}
READ_ORDERS: Final = 'payments_records_read_total{topic="orders.created"}'
CANCELLED_LAG: Final = 'payments_consumer_lag_records{topic="orders.cancelled",partition="0"}'

# Values are promtool's: `0+5x60` begins with 0 and rises by 5, 60 times, once a minute.
CASES: Final[dict[str, tuple[dict[str, str], dict[str, str], str]]] = {
    # alert: (series on which it fires, series on which it does not, time of the evaluation)
    "PaymentServiceAbsent": ({}, {"payments_event_loop_lag_seconds": "0x10"}, "5m"),
    "PaymentDatabaseUnavailable": (
        {'payments_database_unavailable{instance="a"}': "1x5"},
        {'payments_database_unavailable{instance="a"}': "1 0 1 0 1 0"},
        "3m",
    ),
    "PaymentBrokerUnavailable": (
        {'payments_broker_unavailable{instance="a"}': "1x5"},
        {'payments_broker_unavailable{instance="a"}': "1 0 1 0 1 0"},
        "3m",
    ),
    "PaymentProviderBlocked": (
        {'payments_provider_blocked{provider="stripe",kind="*"}': "1x10"},
        {'payments_provider_blocked{provider="stripe",kind="*"}': "1 0x10"},
        "5m",
    ),
    "PaymentClaimLost": (
        {'payments_sending_paused{reason="claim_lost"}': "1x5"},
        {'payments_sending_paused{reason="claim_lost"}': "0x5", 'payments_sending_paused{reason="clock_skew"}': "1x5"},
        "1m",
    ),
    "PaymentClaimUnconfirmed": (
        {'payments_sending_paused{reason="claim_unconfirmed"}': "1x10"},
        {'payments_sending_paused{reason="claim_unconfirmed"}': "1 0x10"},
        "5m",
    ),
    "PaymentClockSkew": (
        {"payments_clock_skew_seconds": "-31x10"},
        {"payments_clock_skew_seconds": "29x10"},
        "5m",
    ),
    "PaymentUnexpectedMoney": (
        {'payments_needs_attention{what="event",reason="unexpected_money"}': "1x5"},
        {'payments_needs_attention{what="event",reason="conflict"}': "1x5"},
        "1m",
    ),
    "PaymentNeedsAttention": (
        {'payments_needs_attention{what="operation",reason="refused"}': "2x10"},
        {'payments_needs_attention{what="event",reason="unexpected_money"}': "1x10"},
        "8m",
    ),
    "PaymentCallsWaiting": ({f"{OLDEST}": "0+30x10"}, {f"{OLDEST}": "50 90 20 50 90 20 50 90 20"}, "7m"),
    "PaymentProviderFailing": (
        {UNKNOWN: "0+10x10", CREATED: "0+9x10"},
        {UNKNOWN: "0+10x10", CREATED: "0+11x10"},
        "5m",
    ),
    "PaymentOrdersWaiting": (
        {
            LAG: "251x20",
            'payments_consumer_lag_records{topic="orders.created",partition="1"}': "250x20",
            **UNKNOWN_LAG,
        },
        {LAG: "500x20", CANCELLED_LAG: "500x20", **UNKNOWN_LAG},
        "10m",
    ),
    "PaymentOrdersNotRead": (
        {LAG: "1x30", **UNKNOWN_LAG, READ_ORDERS: "7x30"},
        {LAG: "5x30", **UNKNOWN_LAG, READ_ORDERS: "0+7x30"},
        "20m",
    ),
    "PaymentOrdersSkipped": (
        {'payments_skipped_records_total{topic="orders.created",partition="0"}': "3x5"},
        {'payments_skipped_records_total{topic="orders.created",partition="0"}': "0x5"},
        "1m",
    ),
    "PaymentTopicReplaced": (
        {'payments_replaced_partitions_total{topic="orders.created",partition="0"}': "1x5"},
        {'payments_replaced_partitions_total{topic="orders.created",partition="0"}': "0x5"},
        "1m",
    ),
    "PaymentRecordsNotPublished": (
        {"payments_oldest_unpublished_seconds": "0+60x10"},
        {"payments_oldest_unpublished_seconds": "1 45 0 45 0 45 0"},
        "6m",
    ),
    "PaymentNobodyPublishes": (
        {f'payments_relay_leader{{instance="{name}"}}': "0x10" for name in "ab"},
        {'payments_relay_leader{instance="a"}': "0x10", 'payments_relay_leader{instance="b"}': "1x10"},
        "5m",
    ),
    "PaymentWebhooksRefused": (
        {'payments_webhooks_refused_in_a_row{instance="a"}': "0 5x5"},
        {'payments_webhooks_refused_in_a_row{instance="a"}': "0 4x5"},
        "4m",
    ),
    "PaymentWebhooksSilent": ({CREATED: "0+1x120", ACCEPTED: "7x120"}, {CREATED: "0+1x120", ACCEPTED: "0+1x120"}, "110m"),
    "PaymentWebhooksOverloaded": (
        {'payments_webhooks_total{result="overloaded"}': "0+1x60"},
        {'payments_webhooks_total{result="overloaded"}': "3x60", ACCEPTED: "0+9x60"},
        "30m",
    ),
    "PaymentWebhooksMisdirected": (
        {'payments_webhooks_total{result="misdirected"}': "0+1x60"},
        {'payments_webhooks_total{result="external"}': "0+1x60"},
        "50m",
    ),
    "PaymentEventsWaiting": ({"payments_events_waiting": "2x30"}, {"payments_events_waiting": "2x5 0x5 2x5 0x5"}, "20m"),
    "PaymentPollingBehind": (
        {'payments_events_unread_seconds{provider="stripe"}': "0+60x30"},
        {'payments_events_unread_seconds{provider="stripe"}': "90x10 950x3 90x20"},
        "30m",
    ),
    "PaymentQuarantined": (
        {'payments_needs_attention{what="quarantine",reason="bad_amount"}': "0x5 1x20"},
        {'payments_needs_attention{what="quarantine",reason="bad_amount"}': "4x5 0x20"},
        "10m",
    ),
    "PaymentRefundFailed": (
        {'payments_outbox_records_total{topic="payments.refund_failed"}': "0x5 1x20"},
        {'payments_outbox_records_total{topic="payments.refunded"}': "0+1x30"},
        "10m",
    ),
    "PaymentRefundsWaitForBalance": (
        {"payments_refunds_waiting_for_balance": "2x10"},
        {"payments_refunds_waiting_for_balance": "1 0x10"},
        "8m",
    ),
    "PaymentRefundsPending": ({"payments_refunds_pending_long": "2x120"}, {"payments_refunds_pending_long": "2x40 0x80"}, "90m"),
    "PaymentManyDeclines": ({"payments_declined_often": "1x10"}, {"payments_declined_often": "0x10"}, "5m"),
    "PaymentDisputeEvidenceDue": ({"payments_disputes_due": "1x60"}, {"payments_disputes_due": "0x60"}, "30m"),
    "PaymentHoldsEnding": ({"payments_authorizations_expiring": "1x120"}, {"payments_authorizations_expiring": "0x120"}, "90m"),
    "PaymentDifferencesOpen": (
        {'payments_needs_attention{what="difference",reason="duplicate_charge"}': "1x20"},
        {'payments_needs_attention{what="difference",reason="duplicate_charge"}': "0x20"},
        "10m",
    ),
    "PaymentAuditUnsealed": (
        {"payments_audit_unsealed_seconds": "240+60x10"},
        {"payments_audit_unsealed_seconds": "400 10x10"},
        "5m",
    ),
    "PaymentReconciliationStale": (
        {"payments_reconciliation_age_seconds": "21700x30"},
        {"payments_reconciliation_age_seconds": "3700x30"},
        "20m",
    ),
    "PaymentApiFailing": (
        {
            'payments_http_requests_total{route="/v1/checkout",status="503"}': "0+5x30",
            'payments_http_requests_total{route="/v1/checkout",status="200"}': "0+95x30",
        },
        {
            'payments_http_requests_total{route="/v1/checkout",status="503"}': "0+1x30",
            'payments_http_requests_total{route="/v1/checkout",status="404"}': "0+99x30",
            'payments_http_requests_total{route="/ready",status="503"}': "0x10 2x20",
        },
        "20m",
    ),
    "PaymentProcessBusy": (
        {'payments_event_loop_lag_seconds{instance="a"}': "0.7x20"},
        {'payments_event_loop_lag_seconds{instance="a"}': "0.7 0.1 0.7 0.1 0.7 0.1 0.7 0.1 0.7 0.1"},
        "9m",
    ),
    "PaymentPartitionsEnding": (
        {'payments_partition_days_left{table="outbox"}': "6x120", 'payments_partition_days_left{table="payment_events"}': "15x120"},
        {'payments_partition_days_left{table="outbox"}': "14x120"},
        "90m",
    ),
    "PaymentRowsOutsidePartitions": (
        {'payments_partition_default_rows{table="outbox"}': "3x1600"},
        {'payments_partition_default_rows{table="outbox"}': "3x800 0x800"},
        "1500m",
    ),
}  # fmt: skip


def test_every_alert_has_a_case() -> None:
    assert list(CASES) == [rule["alert"] for rule in RULES]


def test_the_alert_rules_are_valid() -> None:
    result = promtool("check", "rules", str(ALERTS))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("query", QUERIES)
def test_the_queries_of_the_dashboard_are_valid(query: str, tmp_path: Path) -> None:
    """Each query is checked as a rule, since promtool parses nothing else without a server."""
    file = tmp_path / "rules.yaml"
    rule = {"record": "query", "expr": query}
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": [rule]}]}))
    result = promtool("check", "rules", str(file))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_on_its_condition_only(name: str, tmp_path: Path) -> None:
    fires, quiet, when = CASES[name]
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
    tests = [case(name, fires, when, expected), case(name, quiet, when, [])]
    assert run_rule_tests(tests, tmp_path) == ""


@pytest.mark.parametrize("name", ["PaymentCallsWaiting", "PaymentDisputeEvidenceDue"])
def test_an_alert_that_does_not_fire_is_detected(name: str, tmp_path: Path) -> None:
    """A check that detects nothing would pass every alert."""
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
    assert run_rule_tests([case(name, CASES[name][1], CASES[name][2], expected)], tmp_path) != ""


@pytest.mark.parametrize("lag", [{}, UNKNOWN_LAG], ids=["no lag", "unknown lag"])
def test_missing_lag_metrics_fire_the_alert_for_unread_orders(lag: dict[str, str], tmp_path: Path) -> None:
    name = "PaymentOrdersNotRead"
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
    assert run_rule_tests([case(name, {READ_ORDERS: "0x20", **lag}, "10m", expected)], tmp_path) == ""


@pytest.mark.parametrize("name", ["PaymentOrdersWaiting", "PaymentOrdersNotRead"])
def test_each_topic_that_is_read_has_its_own_alert(name: str, tmp_path: Path) -> None:
    """Orders are read while their cancellations wait."""
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
    series = {LAG: "5x30", READ_ORDERS: "0+7x30", CANCELLED_LAG: "600x30"}
    assert run_rule_tests([case(name, series, "20m", expected)], tmp_path) == ""


def test_summaries_name_the_provider_and_the_duration(tmp_path: Path) -> None:
    """Fill in the templates of two summaries."""
    blocked, waiting = (
        next(it for it in RULES if it["alert"] == f"Payment{name}") for name in ("ProviderBlocked", "CallsWaiting")
    )
    series = CASES["PaymentProviderBlocked"][0] | {OLDEST: "90.4x10"}
    labels = {"severity": "critical"}
    url = "docs/runbook.md#payment"
    summaries = {
        "ProviderBlocked": ({**labels, "provider": "stripe", "kind": "*"}, "stripe refuses our calls (kind *): customers with new orders cannot pay, or refunds wait."),
        "CallsWaiting": ({**labels, "provider": "stripe"}, "A call to stripe has waited 90 s: customers cannot pay yet, and refunds are late."),
    }  # fmt: skip
    assert {blocked["labels"]["severity"], waiting["labels"]["severity"]} == {"critical"}
    alerts = [
        {
            "eval_time": "5m",
            "alertname": f"Payment{name}",
            "exp_alerts": [
                {"exp_labels": own, "exp_annotations": {"summary": text, "runbook_url": url + name.lower()}},
            ],
        }
        for name, (own, text) in summaries.items()
    ]
    assert (
        run_rule_tests([{"interval": "1m", "input_series": inputs(series), "alert_rule_test": alerts}], tmp_path) == ""
    )


def case(name: str, series: dict[str, str], when: str, expected: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the firing instances of an alert."""
    query = f'count by (alertname) (ALERTS{{alertname="{name}",alertstate="firing"}} == 1) > bool 0'
    return {
        "interval": "1m",
        "input_series": inputs(series),
        "promql_expr_test": [{"expr": query, "eval_time": when, "exp_samples": expected}],
    }


def inputs(series: dict[str, str]) -> list[dict[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def run_rule_tests(tests: list[dict[str, Any]], folder: Path) -> str:
    """Let promtool run tests of the rules, and return its complaints."""
    file = folder / "tests.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    result = promtool("test", "rules", str(file))
    return "" if result.returncode == 0 else result.stdout + result.stderr


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
