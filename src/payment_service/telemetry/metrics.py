"""Every metric of the service, declared once, with the question that it answers. Labels hold no ids and no secrets."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# From a memory access to Stripe's slowest answers: 1 ms to 60 s.
_STAGE_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# How many order records come in, and what becomes of them (accepted, repeated, quarantined)?
ORDERS = Counter("payments_orders_total", "Order records taken from Kafka, by result.", ["result"])
# How many orders are cancelled, and what becomes of them (accepted, repeated, quarantined; canceled, refunded, too_late, nothing_paid)?
CANCELLED_ORDERS = Counter(
    "payments_cancelled_orders_total",
    "Records of orders.cancelled by result, and what became of the orders.",
    ["result"],
)
# How far behind the orders are we? -1: not known.
CONSUMER_LAG = Gauge(
    "payments_consumer_lag_records", "Records between our position and the end of a partition.", ["topic", "partition"]
)
# Which bad records come in, and from whom must we ask a fix?
QUARANTINED = Counter(
    "payments_quarantined_total", "Records and webhooks put into quarantine, by reason.", ["source", "reason"]
)
# Is the provider answering, and how?
PROVIDER_CALLS = Counter(
    "payments_provider_calls_total",
    "Calls to the provider, by kind and class of answer.",
    ["provider", "kind", "outcome"],
)
# How long does the provider take?
PROVIDER_CALL_SECONDS = Histogram(
    "payments_provider_call_seconds",
    "Duration of calls to the provider.",
    ["provider", "kind"],
    buckets=_STAGE_BUCKETS_S,
)
# Is work piling up, and of which kind?
OPERATIONS = Gauge("payments_operations", "Operations that are not finished, by kind and state.", ["kind", "state"])
# How long has the oldest due operation been waiting?
OLDEST_OPERATION_SECONDS = Gauge("payments_oldest_due_operation_seconds", "Age of the oldest operation that is due.")
# Has the provider locked us out (wrong key, missing permission)?
PROVIDER_BLOCKED = Gauge("payments_provider_blocked", "1 while calls of a kind are paused.", ["provider", "kind"])
# Which provider events come in, and what becomes of them?
WEBHOOKS = Counter("payments_webhooks_total", "Webhook deliveries, by result.", ["result"])
# Does anybody send us webhooks that we refuse, and why?
WEBHOOKS_REFUSED = Counter("payments_webhooks_refused_total", "Webhook deliveries answered 4xx, by reason.", ["reason"])
# How large do the groups get, that is: how busy are we?
GROUP_SIZE = Histogram(
    "payments_group_size",
    "Items committed together, by flow.",
    ["flow"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
# Where does time go between an order and its announcement? (order_to_accepted and webhook_to_durable: the oldest of a group)
STAGE_SECONDS = Histogram(
    "payments_stage_seconds", "Duration of one stage of the pipeline.", ["stage"], buckets=_STAGE_BUCKETS_S
)
# What do we tell the rest of the store, and how often?
ANNOUNCED = Counter("payments_announced_total", "Records written to the outbox, by topic.", ["topic"])
# Are changes of state happening, and which?
TRANSITIONS = Counter("payments_transitions_total", "Changes of a payment's status.", ["from_status", "to_status"])
# How many customers do not come back?
EXPIRED = Counter("payments_expired_total", "Cancels asked for because an unpaid payment's time was over.")
# Does the broker let us in?
BROKER_TROUBLE = Gauge(
    "payments_broker_trouble",
    "1 while this process reaches no broker, or its login, certificate or rules are refused; /ready says which.",
)
# Do records leave us?
PUBLISHED = Counter("payments_published_total", "Records acknowledged by the broker, by topic.", ["topic"])
# Is publishing stuck?
OLDEST_OUTBOX_SECONDS = Gauge(
    "payments_oldest_unpublished_seconds", "Age of the oldest outbox row that is not published."
)
OUTBOX_BACKLOG = Gauge("payments_unpublished_records", "Outbox rows that are not published.")
# Who publishes?
RELAY_LEADER = Gauge("payments_relay_leader", "1 where this process holds the relay's lease.")
# What waits for a person, and of which kind (operation, event, record, transfer)?
PARKED = Gauge("payments_parked", "Things parked for a person, by what they are and why.", ["what", "reason"])
# Do provider events wait for their payment?
EVENTS_WAITING = Gauge("payments_events_waiting", "Provider events that are stored and not applied yet.")
# When do rows begin to pile up in the default partition, because `maintain` has not run?
PARTITION_DAYS_LEFT = Gauge("payments_partition_days_left", "Days until the last partition of a table ends.", ["table"])
PARTITION_DEFAULT_ROWS = Gauge("payments_partition_default_rows", "Rows in a table's default partition.", ["table"])
# Which disputes are lost unless somebody acts now?
DISPUTES_DUE = Gauge("payments_disputes_due", "Disputes that want evidence within three days.")
# Which held money goes back to customers unless it is captured?
HOLDS_ENDING = Gauge("payments_holds_ending", "Payments that are held, not captured, and older than five days.")
# How many requests does the API answer, and how?
HTTP_REQUESTS = Counter("payments_http_requests_total", "API requests, by route and status.", ["route", "status"])
# Is the event loop blocked?
LOOP_LAG_SECONDS = Gauge("payments_event_loop_lag_seconds", "How late the event loop woke at its last check.")
