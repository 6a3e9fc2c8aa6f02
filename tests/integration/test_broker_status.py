"""Test that a service without a broker reports it, still serves webhooks, and reports the recovery."""

from __future__ import annotations

from payment_service_demo.embedded.broker import EmbeddedBroker
from payment_service_demo.embedded.process import free_port
from tests.support.eventually import eventually
from tests.support.kafka import create_topics
from tests.support.service import StartService
from tests.support.shop import ask, broker_state


def test_an_unreachable_broker_is_reported_until_it_is_back(start_service: StartService) -> None:
    port = free_port()
    service = start_service(KAFKA_BROKERS=f"127.0.0.1:{port}", KAFKA_SESSION_TIMEOUT_MS="2000")
    eventually(lambda: broker_state(service).startswith("no broker can be reached: check KAFKA_BROKERS"))
    eventually(lambda: "\npayments_broker_unavailable 1.0\n" in ask(f"{service.metrics_url}/metrics")[1])
    with EmbeddedBroker(port) as broker:
        create_topics(broker.bootstrap_servers)
        eventually(lambda: broker_state(service) == "ok", timeout_s=30)
        eventually(lambda: "\npayments_broker_unavailable 0.0\n" in ask(f"{service.metrics_url}/metrics")[1])
        service.stop()
