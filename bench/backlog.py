"""A backlog in the outbox: records per second of the relay, its memory, and the order of each payment's records."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import psycopg

from bench.environment import Refused
from bench.reading import read_sequences

if TYPE_CHECKING:
    from bench.environment import Environment

TOPIC: Final = "payments.refund_initiated"  # no other measurement writes to it
RECORDS_PER_PAYMENT: Final = 4
PATIENCE_S: Final = 600.0
# Like a real record: 8 headers and a value of 300 bytes. The relay sees all at once, because it is a single transaction.
_FILL: Final = """
WITH payment AS MATERIALIZED (
    SELECT n, gen_random_uuid() AS id FROM generate_series(1, %(payments)s) AS n
), written AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, key, payload, headers)
    SELECT gen_random_uuid(), 'payment', p.id, s, %(topic)s, convert_to(p.id::text, 'UTF8'),
           convert_to(json_build_object('payment_id', p.id, 'order_id', 'order-' || p.n, 'user_id', 'user-' || p.n %% 1000,
                                        'text', repeat('x', 180))::text, 'UTF8'),
           json_build_array(json_build_array('content-type', 'application/json'), json_build_array('ce_specversion', '1.0'),
                            json_build_array('ce_id', gen_random_uuid()), json_build_array('ce_type', %(topic)s::text),
                            json_build_array('ce_source', '/payment-service/bench'),
                            json_build_array('ce_time', '2026-01-31T23:59:59Z'), json_build_array('ce_sequence', s::text),
                            json_build_array('ce_attempt', '1'))
    FROM generate_series(1, %(each)s) AS s CROSS JOIN payment p
    ORDER BY s, p.n
    RETURNING position, aggregateid, created_at
)
INSERT INTO outbox_pending (position, aggregateid, created_at) SELECT position, aggregateid, created_at FROM written
"""


def measure_backlog(environment: Environment, count: int) -> dict[str, float]:
    """Publish `count` records and return the rate, memory (MB) before and at the peak, and CPU per record (µs)."""
    before_mb, _ = environment.service_rss_mb()
    with psycopg.connect(environment.dsn, autocommit=True) as connection:
        values = {"payments": count // RECORDS_PER_PAYMENT, "each": RECORDS_PER_PAYMENT, "topic": TOPIC}
        connection.execute(_FILL, values)
        started, cpu = time.perf_counter(), environment.cpu_s()
        peak_mb = before_mb
        while connection.execute("SELECT EXISTS (SELECT FROM outbox_pending)").fetchall()[0][0]:
            peak_mb = max(peak_mb, environment.service_rss_mb()[0])
            if time.perf_counter() - started > PATIENCE_S:
                raise Refused(f"The backlog was not published within {PATIENCE_S:.0f} s.")
            time.sleep(0.05)
    elapsed_s, after = time.perf_counter() - started, environment.cpu_s()
    _require_order(environment, count)
    spent_us = {name: 1e6 * (after[name] - cpu[name]) / count for name in ("service", "postgresql")}
    return {
        "records_per_s": count / elapsed_s,
        "before_mb": before_mb,
        "peak_mb": peak_mb,
        "service_us": spent_us["service"],
        "postgresql_us": spent_us["postgresql"],
    }


def _require_order(environment: Environment, count: int) -> None:
    """Refuse a result if a payment's records are not 1, 2, 3, 4 in their partition."""
    last: dict[bytes, int] = {}
    for key, sequence in read_sequences(environment.brokers, TOPIC, count):
        if sequence > last.get(key, 0) + 1:
            raise Refused(f"Record {sequence} of a payment came after record {last.get(key, 0)}.")
        last[key] = max(sequence, last.get(key, 0))
    if len(last) != count // RECORDS_PER_PAYMENT or set(last.values()) != {RECORDS_PER_PAYMENT}:
        raise Refused(f"{len(last)} payments of the backlog have all their records on the topic.")
