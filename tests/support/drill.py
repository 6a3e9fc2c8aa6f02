"""The faults of the drill: how each is made and ended, which alert tells of it, and how soon."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo

from payment_service_demo.embedded.broker import EmbeddedBroker
from payment_service_demo.embedded.process import free_port
from tests.support import deliveries
from tests.support.kafka import create_topics
from tests.support.service import ServiceProcess
from tests.support.shop import Shop, ask

# From the cure to the end of the alert.
RESOLVES_WITHIN_S: Final = 120

Fault = Callable[[Shop, ServiceProcess], Iterator[None]]
"""Makes a fault up to the first `yield`, cures it up to the second, then cleans up."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A fault and its alert. `within_s`: seconds from the fault to the alert. `names`: what the summary says of the cause.
    `resolves` is false if only a person can end the alert.
    """

    title: str
    fault: Fault
    alert: str
    within_s: int
    names: str
    resolves: bool = True


def stripe_hangs(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    shop.sandbox.pause()
    shop.order(*(f"o-{n}" for n in range(30)))
    yield
    shop.sandbox.resume()
    yield


def stripe_fails(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    shop.sandbox.faults({"match": {"path_prefix": "/v1"}, "action": "status", "code": 503})
    shop.order(*(f"o-{n}" for n in range(30)))
    yield
    shop.sandbox.faults()
    yield


def stripe_refuses_the_key(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    shop.sandbox.accept_keys("sk_test_another_one")
    shop.order("o-1")
    yield
    shop.sandbox.accept_keys()
    yield


def database_refuses(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    with psycopg.connect(shop.dsn) as connection:
        name = connection.info.dbname
    with psycopg.connect(make_conninfo(shop.dsn, dbname="postgres"), autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
    yield


def a_table_is_locked(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    with psycopg.connect(shop.dsn) as blocker:
        blocker.execute("LOCK provider_budget IN ACCESS EXCLUSIVE MODE")
        yield
    yield


def no_broker_answers(_shop: Shop, service: ServiceProcess) -> Iterator[None]:
    port = free_port()
    _restart(service, KAFKA_BROKERS=f"127.0.0.1:{port}")
    yield
    with EmbeddedBroker(port) as broker:
        create_topics(broker.bootstrap_servers)
        yield


def the_webhook_secret_is_wrong(shop: Shop, service: ServiceProcess) -> Iterator[None]:
    for _ in range(5):
        _deliver(service, "whsec_another")
    yield
    _deliver(service, deliveries.SECRET)
    yield


def every_process_dies(_shop: Shop, service: ServiceProcess) -> Iterator[None]:
    service.kill()
    yield
    service.start()
    yield


def no_process_publishes(_shop: Shop, service: ServiceProcess) -> Iterator[None]:
    everything = service.arguments
    service.arguments = ("serve", "--only", "http,dispatch,intake")
    _restart(service)
    yield
    service.arguments = everything
    _restart(service)
    yield


def an_order_is_bad(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    shop.write([{"order_id": "o-1", "user_id": "user-1", "total": "-1", "currency": "eur"}], bad=1)
    yield


def money_arrives_for_a_canceled_payment(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    shop.order("o-1")
    shop.intent_of("o-1")
    shop.execute("UPDATE payments SET status = 'canceled'")
    shop.pay("o-1")
    yield


def a_refund_fails(shop: Shop, _service: ServiceProcess) -> Iterator[None]:
    shop.order("o-1")
    shop.pay("o-1")
    shop.wait_status("succeeded")
    body = json.dumps({"error": {"code": "charge_not_refundable", "type": "invalid_request_error"}})
    shop.sandbox.faults({"match": {"path_prefix": "/v1/refunds"}, "action": "status", "code": 400, "body": body})
    shop.refund("o-1", "5.00", "job-1")
    yield


def _restart(service: ServiceProcess, **changes: str) -> None:
    service.stop()
    service.env = {name: value for name, value in (service.env | changes).items() if value}
    service.start()


def _deliver(service: ServiceProcess, secret: str) -> None:
    body = deliveries.event()
    ask(
        f"{service.url}{deliveries.PATH}",
        body,
        {**deliveries.JSON, "Stripe-Signature": deliveries.sign(body, secret=secret)},
    )


DRILLS: Final = (
    Drill("Stripe hangs", stripe_hangs, "PaymentCallsWaiting", 120, "stripe"),
    Drill("Stripe answers 503", stripe_fails, "PaymentProviderFailing", 120, "stripe"),
    Drill("Stripe refuses the key", stripe_refuses_the_key, "PaymentProviderBlocked", 120, "stripe"),
    Drill("the database refuses connections", database_refuses, "PaymentDatabaseUnavailable", 90, "database"),
    Drill("a table is locked", a_table_is_locked, "PaymentDatabaseUnavailable", 90, "database"),
    Drill("no broker answers", no_broker_answers, "PaymentBrokerUnavailable", 90, "Kafka"),
    Drill("the webhook secret is wrong", the_webhook_secret_is_wrong, "PaymentWebhooksRefused", 90, "signature"),
    Drill("every process dies", every_process_dies, "PaymentServiceAbsent", 120, "No process"),
    Drill("no process publishes", no_process_publishes, "PaymentNobodyPublishes", 120, "publishes"),
    Drill("an order is bad", an_order_is_bad, "PaymentQuarantined", 60, "rejected", resolves=False),
    Drill("money for a canceled payment", money_arrives_for_a_canceled_payment, "PaymentUnexpectedMoney", 60, "money", resolves=False),
    Drill("a refund fails", a_refund_fails, "PaymentRefundFailed", 60, "refunds", resolves=False),
)  # fmt: skip
