"""A trace leads from an order to its last event, and nothing is traced unless it is configured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from payment_service.contracts.incoming import InboundRecord
from payment_service.telemetry import traces
from payment_service.telemetry.exported_spans import Spans
from tests.support.eventually import eventually
from tests.support.flows import inbound_record, name_of, order
from tests.support.harness import Harness
from tests.support.otlp import otlp_receiver
from tests.support.shop import Shop

TRACE = "0af7651916cd43dd8448eb211c80319c"
SHOP = f"00-{TRACE}-b7ad6b7169203331-01"
STEPS = {"order_accepted", "operation_claimed", "stripe create", "result_recorded", "webhook_stored", "event_applied"}


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Export to memory, in the test's process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces.use(Spans(provider))
    yield exporter
    traces.close()


def traced_order() -> InboundRecord:
    return replace(inbound_record(order("o-1"), 0), headers=(("traceparent", SHOP.encode()),))


def names(spans: tuple[ReadableSpan, ...], trace_id: str) -> set[str]:
    return {span.name for span in spans if span.context and f"{span.context.trace_id:032x}" == trace_id}


async def test_every_step_of_a_payment_is_in_the_trace_of_its_order(
    harness: Harness, exported: InMemorySpanExporter
) -> None:
    await harness.flows.intake.accept([traced_order()])
    await harness.pay_accepted("o-1")
    spans = exported.get_finished_spans()
    assert names(spans, TRACE) >= STEPS
    [call] = [span for span in spans if span.name == "stripe create"]
    assert call.attributes is not None
    assert call.attributes["payment_id"] == str(name_of("o-1"))
    assert call.attributes["outcome"] == "done"


async def test_a_request_has_its_own_trace_and_the_payment_links_to_it(
    harness: Harness, exported: InMemorySpanExporter
) -> None:
    await harness.flows.intake.accept([traced_order()])
    name = await harness.pay_accepted("o-1")
    other = "1" * 32
    answer = await harness.post(f"/v1/payments/{name}/refunds", {}, traceparent=f"00-{other}-{'2' * 16}-01")
    assert answer.status == 201
    assert answer.headers["traceresponse"].startswith(f"00-{other}-")
    spans = exported.get_finished_spans()
    assert "POST /v1/payments/{payment_id}/refunds" in names(spans, other)
    [change] = [span for span in spans if span.name == "change_requested"]
    assert change.context is not None
    assert f"{change.context.trace_id:032x}" == TRACE
    assert [f"{link.context.span_id:016x}" for link in change.links] == [answer.headers["traceresponse"].split("-")[2]]


async def test_an_order_without_a_trace_begins_one(harness: Harness, exported: InMemorySpanExporter) -> None:
    await harness.pay("o-1")
    traceparent = await harness.flows.pool.fetchval("SELECT traceparent FROM payments")
    assert names(exported.get_finished_spans(), traceparent.split("-")[1]) >= STEPS | {"order_received"}


async def test_a_request_that_is_not_sampled_exports_nothing(harness: Harness, exported: InMemorySpanExporter) -> None:
    answer = await harness.post("/v1/payments/unknown/refunds", {}, traceparent=f"00-{TRACE}-{'2' * 16}-00")
    assert answer.headers["traceresponse"].endswith("-00")
    assert exported.get_finished_spans() == ()


async def test_log_lines_of_a_span_have_its_ids(exported: InMemorySpanExporter) -> None:
    span = traces.begin("work", parent=SHOP)
    with traces.current(span):
        line = traces.add_ids(None, "", {})
    assert line["trace_id"] == TRACE
    assert line["span_id"] != SHOP.split("-")[2]
    assert traces.add_ids(None, "", {}) == {}


async def test_without_an_exporter_nothing_is_traced(harness: Harness) -> None:
    name = await harness.pay("o-1")
    answer = await harness.get(f"/v1/payments/{name}")
    assert "traceresponse" not in answer.headers
    assert await harness.flows.pool.fetchval("SELECT traceparent FROM payments") is None


def test_the_service_does_not_import_the_exporter_unless_it_is_configured() -> None:
    code = "import sys, payment_service.serving; sys.exit('opentelemetry.sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.kafka
def test_a_collector_receives_one_trace_from_the_order_to_the_event_of_success(shop: Shop) -> None:
    with otlp_receiver() as receiver:
        service = shop.serve(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY="100")
        shop.topics.produce(
            [{"order_id": "o-1", "user_id": "u", "total": "19.90", "currency": "eur"}],
            headers={"traceparent": SHOP},
        )
        shop.pay("o-1")

        def published() -> bool:
            return any(one.attributes.get("topic") == "payments.succeeded" for one in receiver.spans)

        eventually(published)
        service.stop()
        of_order = [span for span in receiver.spans if span.trace_id == TRACE]
        assert {span.name for span in of_order} >= {*STEPS, "record_published"}, receiver.spans
        assert {span.parent_id for span in of_order} == {SHOP.split("-")[2]}
        requests = {span.span_id for span in receiver.spans if span.name == "POST /webhooks/stripe"}
        stored = [span for span in of_order if span.name == "webhook_stored"]
        assert stored
        assert all(set(span.links) & requests for span in stored)
        assert receiver.resources[0]["service.name"] == "payment-service"
        [record] = shop.topics.read_all(["payments.succeeded"])
        assert record.header("traceparent") == SHOP


@pytest.mark.kafka
def test_debug_shows_a_line_per_step_of_a_payment(shop: Shop) -> None:
    service = shop.serve(LOG_LEVEL="debug")
    shop.order("o-1")
    shop.pay("o-1")
    eventually(lambda: [line for line in service.logs("record_published") if line["topic"] == "payments.succeeded"])
    steps = ["order_accepted", "operation_claimed", "call_sent", "result_recorded", "webhook_stored", "event_applied"]
    for step in (*steps, "record_published"):
        lines = eventually(partial(service.logs, step))  # the webhook may come before the answer of the create
        assert str(name_of("o-1")) in {line.get("payment_id") for line in lines}
        assert {line["level"] for line in lines} == {"debug"}
