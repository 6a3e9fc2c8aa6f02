"""Test an intent that names a payment but is not the payment's own."""

from __future__ import annotations

import asyncio

from payment_service.db import operations, workers
from payment_service.flows.calls.outcomes import conclude
from payment_service.flows.calls.record_results import record_results
from payment_service.provider.port import WrongState
from tests.integration.test_apply_webhooks import event, inbox
from tests.support.flows import Flows


async def test_a_stray_intent_that_cannot_be_canceled_is_read_itself(flows: Flows) -> None:
    """The provider repeats an old refusal. The stray may have been paid, and nothing else would notice."""
    await flows.accept("o-1")
    webhooks = inbox(flows)
    for delivered in (event("o-1", "processing"), event("o-1", "requires_action", id="pi_stray")):
        taking = webhooks.take(delivered, "secret-1")
        await asyncio.sleep(0)
        await webhooks.store_once()
        await taking
    await flows.pool.execute("UPDATE operations SET state = 'done' WHERE kind = 'create'")
    dispatcher = flows.dispatcher()
    await operations.ensure_budget(flows.pool, "stripe")
    await workers.register(flows.pool, dispatcher.worker)
    await flows.pool.execute("UPDATE provider_budget SET tokens = 10")
    claimed = await flows.claim(dispatcher.worker, rate_per_s=0, burst=10)
    refused = WrongState(code="payment_intent_unexpected_state", fact=None, request_id="")
    await record_results(flows.context(), [conclude(claimed[0], refused, jitter=lambda: 0.0)])
    paths = await flows.pool.fetch("SELECT kind, request_path, state FROM operations ORDER BY position OFFSET 1")
    assert [tuple(row) for row in paths] == [
        ("cancel", "/v1/payment_intents/pi_stray/cancel", "refused"),
        ("retrieve", "/v1/payment_intents/pi_stray?expand%5B%5D=latest_charge.balance_transaction", "due"),
    ]
