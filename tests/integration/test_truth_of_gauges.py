"""No retry hides how long a call waits, and no gauge shows an old value."""

from __future__ import annotations

import psycopg
import pytest
from structlog.testing import capture_logs

from payment_service.db.waiting_calls import WaitingCalls, problems
from payment_service.telemetry import metrics
from tests.support.deliveries import Inbox, endpoint, event, post, sign
from tests.support.eventually import eventually
from tests.support.flows import Flows
from tests.support.http import served
from tests.support.service import StartService
from tests.support.shop import ask

BODY = event()
RETRIED = "UPDATE operations SET created_at = now() - interval '95 s', due_at = now() + interval '5 s'"


async def measured(flows: Flows) -> tuple[float, str]:
    """Return the gauge of Stripe, in seconds, and the sentence in `/ready`."""
    waiting = WaitingCalls(flows.pool, ["stripe"])
    await waiting.measure_once()
    return metrics.OLDEST_OPERATION_SECONDS.labels("stripe")._value.get(), waiting.problem()


async def test_the_age_of_a_call_counts_from_its_request_whatever_its_retries(flows: Flows) -> None:
    await flows.accept("o-1")
    await flows.pool.execute(f"{RETRIED}, outcome = 'unknown', outcome_code = 'timeout'")
    age_s, sentence = await measured(flows)
    assert 95 <= age_s < 100
    assert all(word in sentence for word in ("stripe", "create", "timeout"))
    async with flows.pool.acquire() as connection:
        assert len(await problems(connection)) == 1


async def test_a_call_under_way_counts(flows: Flows) -> None:
    await flows.accept("o-1")
    await flows.pool.execute(f"{RETRIED}, state = 'claimed', worker = gen_random_uuid()")
    age_s, sentence = await measured(flows)
    assert age_s >= 95
    assert sentence


@pytest.mark.parametrize(
    "change", ["kind = 'retrieve'", "cause = 'stray:pi_2'", "outcome = 'balance_too_low'", "state = 'parked'"]
)
async def test_calls_that_nobody_waits_for_here_do_not_count(flows: Flows, change: str) -> None:
    """Refunds without balance and parked operations have gauges of their own."""
    await flows.accept("o-1")
    await flows.pool.execute(f"{RETRIED}, {change}")
    assert await measured(flows) == (0, "")


@pytest.mark.kafka
def test_gauges_of_the_database_are_absent_while_it_does_not_answer(
    start_service: StartService, database_dsn: str
) -> None:
    service = start_service()

    def shown(line: str) -> bool:
        return f"\n{line}" in ask(f"{service.metrics_url}/metrics")[1]

    eventually(lambda: shown("payments_unpublished_records 0.0"))
    with psycopg.connect(database_dsn) as blocker:
        blocker.execute("LOCK provider_budget IN ACCESS EXCLUSIVE MODE")
        eventually(lambda: shown("payments_database_unavailable 1.0"))
        assert not shown("payments_unpublished_records")
        assert not shown("payments_oldest_unfinished_operation_seconds")
        blocker.rollback()
    eventually(lambda: shown("payments_database_unavailable 0.0"))
    assert shown("payments_unpublished_records 0.0")


async def test_a_wrong_secret_is_told_from_a_forged_delivery() -> None:
    """Five refusals in a row are reported once; a good delivery ends the run."""
    wrong = {"stripe-signature": sign(BODY, secret="whsec_another")}
    async with served(endpoint(Inbox())) as port:
        with capture_logs() as logs:
            for _ in range(6):
                await post(port, BODY, wrong)
            await post(port, BODY, {"stripe-signature": None})  # proves nothing
        assert [log["in_a_row"] for log in logs if log["event"] == "webhooks_all_refused"] == [5]
        assert metrics.WEBHOOKS_REFUSED_IN_A_ROW._value.get() == 6
        await post(port, BODY)
        assert metrics.WEBHOOKS_REFUSED_IN_A_ROW._value.get() == 0
