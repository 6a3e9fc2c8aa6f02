"""Webhook endpoint objects and the balance, as far as they can be read."""

from __future__ import annotations

from stripe_sandbox.errors import Json, missing_resource
from stripe_sandbox.resources.listing import answer, page_query
from stripe_sandbox.state.work import Reply, Work


def retrieve(work: Work, params: Json, path: Json) -> Reply:
    endpoint = work.tx.find("webhook_endpoint", path["id"])
    if endpoint is None:
        raise missing_resource("webhook endpoint", path["id"], "id")
    return Reply(shown(endpoint))


def list_all(work: Work, params: Json, path: Json) -> Reply:
    query = page_query("webhook endpoint", params)
    page = work.tx.table("webhook_endpoint").page(query)
    page.rows[:] = [shown(endpoint) for endpoint in page.rows]
    return answer("/v1/webhook_endpoints", page)


def shown(endpoint: Json) -> Json:
    """Without the secret, which Stripe tells only when an endpoint is made."""
    return {name: value for name, value in endpoint.items() if name != "secret"}


def balance(work: Work, params: Json, path: Json) -> Reply:
    """An empty balance in test mode: enough to check a key and its mode."""
    nothing = [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    return Reply({"object": "balance", "available": nothing, "livemode": False, "pending": nothing})
