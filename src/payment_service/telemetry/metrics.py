"""Every metric of the service, declared once, with the question that it answers. Labels contain no ids and no secrets."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

import payment_service_events
from payment_service.domain.order import Reason

# From a memory access to Stripe's slowest responses: 1 ms to 60 s.
_STAGE_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# The API answers within milliseconds; a request above 10 s has failed.
_REQUEST_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# Which build runs?
BUILD_INFO = Gauge("payments_build_info", "1, for the build that runs.", ["version", "revision", "python"])
# How many orders arrive, and with what result (accepted, repeated, quarantined)?
ORDERS = Counter("payments_orders_total", "Order records read from Kafka, by result.", ["result"])
# How many records of orders.cancelled arrive, and with what result (accepted, repeated, quarantined; canceled, refunded, too_late,
# nothing_paid)?
CANCELLED_ORDERS = Counter(
    "payments_cancelled_orders_total",
    "Records of orders.cancelled and their outcomes, by result.",
    ["result"],
)
# How far behind is the order intake? -1: unknown.
CONSUMER_LAG = Gauge(
    "payments_consumer_lag_records",
    "Records between the consumer's position and the end of a partition; -1 if unknown.",
    ["topic", "partition"],
)
# Does the intake read each topic?
RECORDS_READ = Counter("payments_records_read_total", "Records read from Kafka and made durable, by topic.", ["topic"])
# Were orders deleted on Kafka before they were read? Counted since the start of the process.
SKIPPED_RECORDS = Counter(
    "payments_skipped_records_total",
    "Offsets that the broker deleted before they were read, since the start of the process.",
    ["topic", "partition"],
)
# Was a topic created again, or the cluster changed? Unread records of the old topic are gone.
REPLACED_PARTITIONS = Counter(
    "payments_replaced_partitions_total",
    "Partitions read from their first record because their topic has another id, since the start of the process.",
    ["topic", "partition"],
)
# Which invalid records arrive, and who has to fix them?
QUARANTINED = Counter(
    "payments_quarantined_total", "Records and webhooks put into quarantine, by reason.", ["source", "reason"]
)
# Does the provider answer, and how?
PROVIDER_CALLS = Counter(
    "payments_provider_calls_total",
    "Calls to the provider, by kind and outcome.",
    ["provider", "kind", "outcome"],
)
# How long does the provider take?
PROVIDER_CALL_SECONDS = Histogram(
    "payments_provider_call_seconds",
    "Duration of calls to the provider.",
    ["provider", "kind"],
    buckets=_STAGE_BUCKETS_S,
)
# How many calls wait for an answer now?
PROVIDER_CALLS_IN_FLIGHT = Gauge(
    "payments_provider_calls_in_flight", "Calls to the provider without an answer yet.", ["provider", "kind"]
)
# Does work pile up, and of which kind?
OPERATIONS = Gauge("payments_operations", "Unfinished operations, by kind and state.", ["kind", "state"])
# Does the provider answer? Since when has somebody waited?
OLDEST_OPERATION_SECONDS = Gauge(
    "payments_oldest_unfinished_operation_seconds",
    "Time since the oldest unfinished operation was requested, retries and calls under way included.",
    ["provider"],
)
# Can this process use its database?
DATABASE_UNAVAILABLE = Gauge(
    "payments_database_unavailable",
    "1 while the database does not answer this process or takes no writes; without an answer the gauges that it feeds are absent.",
)
# Does the provider refuse all calls (wrong key, missing permission)?
PROVIDER_BLOCKED = Gauge(
    "payments_provider_blocked",
    "1 while calls of a kind are paused because the provider refuses them all.",
    ["provider", "kind"],
)
# Which provider events arrive, and with what result?
WEBHOOKS = Counter("payments_webhooks_total", "Webhook deliveries, by result.", ["result"])
# Which events had to be read from the provider, because no webhook brought them?
EVENTS_READ = Counter("payments_events_read_total", "Events read from the provider's list, by result.", ["result"])
# How often is the provider asked about something that is open for long?
POLLS = Counter("payments_polls_total", "Reads of what is open for longer than usual, by kind.", ["kind"])
# Is asking behind?
OLDEST_POLL_SECONDS = Gauge("payments_oldest_due_poll_seconds", "Age of the oldest due poll.")
# How far behind is reading the provider's events?
EVENTS_UNREAD_SECONDS = Gauge(
    "payments_events_unread_seconds", "Age of the oldest events that were not read yet.", ["provider"]
)
# A signature of another secret, or of a time too far from the database's.
SIGNATURE_REFUSALS: Final = ("no_match", "stale", "future")
# Which webhooks are refused, and why?
WEBHOOKS_REFUSED = Counter(
    "payments_webhooks_refused_total", "Webhook deliveries answered with 4xx, by reason.", ["reason"]
)
# Does Stripe send events in another API version than ours (a major version, or "unsupported")?
PROVIDER_FOREIGN_VERSIONS = Counter(
    "payments_provider_foreign_versions_total",
    "Events of another major API version than the service's, by version.",
    ["provider", "version"],
)
# Does the provider use words that the service does not know?
PROVIDER_UNKNOWN_VALUES = Counter(
    "payments_provider_unknown_values_total",
    "Statuses of the provider that this version does not know, by field.",
    ["provider", "field"],
)
# How large are the batches, and so how busy is the service?
BATCH_SIZE = Histogram(
    "payments_batch_size",
    "Items committed together, by flow.",
    ["flow"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
# Which stage between an order and its published event takes long? (order_to_accepted and webhook_to_durable: the oldest
# of a batch)
STAGE_SECONDS = Histogram(
    "payments_stage_seconds", "Duration of one stage of the pipeline.", ["stage"], buckets=_STAGE_BUCKETS_S
)
# Is the signing secret wrong?
WEBHOOKS_REFUSED_IN_A_ROW = Gauge(
    "payments_webhooks_refused_in_a_row",
    "Deliveries refused for their signature or its time since the last one that was accepted.",
)
# Which events does the service write, and how often?
OUTBOX_RECORDS = Counter("payments_outbox_records_total", "Records written to the outbox, by topic.", ["topic"])
# Which state changes happen?
TRANSITIONS = Counter("payments_transitions_total", "Changes of a payment's status.", ["from_status", "to_status"])
# How much money moves? `returned`: refunds that failed after the provider had reported success.
MONEY_MINOR = Counter(
    "payments_money_minor_units_total",
    "Minor units captured, refunded and returned, by currency.",
    ["currency", "status"],
)
# How many customers never pay?
EXPIRED = Counter("payments_expired_total", "Cancellations requested because an unpaid payment expired.")
# Can the service use its brokers?
BROKER_UNAVAILABLE = Gauge(
    "payments_broker_unavailable",
    "1 while this process reaches no broker, or its login, certificate or permissions are refused; see /ready.",
)
# Do records reach the broker?
PUBLISHED = Counter("payments_published_total", "Records acknowledged by the broker, by topic.", ["topic"])
# Is publishing stuck?
OLDEST_OUTBOX_SECONDS = Gauge("payments_oldest_unpublished_seconds", "Age of the oldest unpublished outbox row.")
OUTBOX_BACKLOG = Gauge("payments_unpublished_records", "Unpublished outbox rows.")
# Which process publishes?
RELAY_LEADER = Gauge("payments_relay_leader", "1 if this process holds the relay's lease.")
# How many items need attention, and of which kind (operation, event, record, quarantine, transfer)?
NEEDS_ATTENTION = Gauge(
    "payments_needs_attention", "Items that need an operator, by kind and reason.", ["what", "reason"]
)
# Do provider events wait for their payment?
EVENTS_WAITING = Gauge("payments_events_waiting", "Provider events that are stored and not applied yet.")
# When will rows collect in the default partition, because `maintain` has not run?
PARTITION_DAYS_LEFT = Gauge("payments_partition_days_left", "Days until the last partition of a table ends.", ["table"])
PARTITION_DEFAULT_ROWS = Gauge("payments_partition_default_rows", "Rows in a table's default partition.", ["table"])
# Which disputes are lost without action now?
DISPUTES_DUE = Gauge("payments_disputes_due", "Disputes that need evidence within three days.")
# Which authorizations expire soon unless captured?
AUTHORIZATIONS_EXPIRING = Gauge(
    "payments_authorizations_expiring", "Authorized payments whose hold ends within two days."
)
# Which refunds does the provider not complete?
REFUNDS_PENDING_LONG = Gauge("payments_refunds_pending_long", "Refunds that have been pending for more than ten days.")
# Does somebody try many cards on one payment?
DECLINED_OFTEN = Gauge("payments_declined_often", "Payments of the last day with ten or more declines.")
# Is the audit sealed into its chain?
AUDIT_UNSEALED_SECONDS = Gauge(
    "payments_audit_unsealed_seconds", "Age of the oldest entry of the audit that is not sealed yet."
)
# Which refunds wait until our balance at the provider is topped up?
REFUNDS_WITHOUT_BALANCE = Gauge(
    "payments_refunds_waiting_for_balance", "Refunds that are retried because our balance at the provider is too low."
)
# Do provider and database differ, and how?
# Is somebody comparing them?
RECONCILIATION_AGE_SECONDS = Gauge(
    "payments_reconciliation_age_seconds", "Time since the last finished reconciliation, or since the first payment."
)
# How many requests does the API answer, and how?
HTTP_REQUESTS = Counter("payments_http_requests_total", "API requests, by route and status.", ["route", "status"])
# How long does the API take, by route?
HTTP_REQUEST_SECONDS = Histogram(
    "payments_http_request_seconds",
    "Duration of API requests, by route, method and class of the status.",
    ["route", "method", "status"],
    buckets=_REQUEST_BUCKETS_S,
)
# Are there enough connections to the database? Read when Prometheus asks.
DATABASE_CONNECTIONS = Gauge(
    "payments_database_connections",
    "Connections of a pool (work, reads): its limit, those that are open and in use, and the callers that wait for one.",
    ["pool", "state"],
)
# Does this host's clock agree with the database's, which decides?
CLOCK_SKEW_SECONDS = Gauge(
    "payments_clock_skew_seconds",
    "Seconds by which this host's clock is ahead of the database's; negative: behind. Above 30 the process decides nothing.",
)
# Does this process send calls, and why not (clock_skew, claim_lost, claim_unconfirmed)?
SENDING_PAUSED = Gauge(
    "payments_sending_paused", "1 while this process holds back calls to the provider, by reason.", ["reason"]
)
# Is the event loop blocked?
LOOP_LAG_SECONDS = Gauge("payments_event_loop_lag_seconds", "Delay of the event loop at its last check.")


NO_ROUTE: Final = "none"
"""The label of requests for a path without a route."""


def count_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request. Status 0: the connection ended without an answer."""
    HTTP_REQUESTS.labels(route, str(status or "none")).inc()
    # A client chooses the method, so it is a label of known routes only.
    method = method if route != NO_ROUTE else "any"
    HTTP_REQUEST_SECONDS.labels(route, method, f"{status // 100}xx" if status else "none").observe(seconds)


def initialize_counters() -> None:
    """Initialize the counters that alerts watch: a counter that first appears with 1 shows no increase."""
    for topic in payment_service_events.TOPICS:
        OUTBOX_RECORDS.labels(topic)
    for reason in Reason:
        QUARANTINED.labels("kafka", reason)
    for refusal in SIGNATURE_REFUSALS:
        WEBHOOKS_REFUSED.labels(refusal)
    for result in ("overloaded", "misdirected"):
        WEBHOOKS.labels(result)
