"""The control API under `/sandbox/`: JSON, no API key, for tests and people (docs/sandbox.md)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stripe_sandbox.errors import ApiError, Json, invalid
from stripe_sandbox.faults.plan_file import first_error, parse_plan
from stripe_sandbox.resources import bank_debits, dispute_cases, disputes, endpoints, payment_attempts, refunds
from stripe_sandbox.resources.events import rendered, retained_event
from stripe_sandbox.resources.intents import existing
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.state import ledger
from stripe_sandbox.webhooks import deliveries


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class IntentOutcome(_Body):
    outcome: Literal["succeed", "fail"]


class RefundOutcome(_Body):
    """The outcome of a refund; `failure_reason` applies to failures only.

    https://docs.stripe.com/api/refunds/object
    """

    outcome: Literal["succeed", "fail", "require_action"]
    failure_reason: Literal[
        "charge_for_pending_refund_disputed",
        "declined",
        "expired_or_canceled_card",
        "insufficient_funds",
        "lost_or_stolen_card",
        "merchant_request",
        "unknown",
    ] = "unknown"


class DisputeRequest(_Body):
    """The dispute to open; `amount` is in minor units and defaults to everything not yet refunded."""

    reason: str = "fraudulent"
    inquiry: bool = False
    amount: int | None = None


class DisputeOutcome(_Body):
    outcome: Literal["won", "lost", "warning_closed"]


class AcceptedKeys(_Body):
    accepted: list[str]


class Advance(_Body):
    advance_s: float = Field(ge=0)


class EndpointRequest(_Body):
    url: str
    secret: str
    enabled_events: list[str] = ["*"]


class RollRequest(_Body):
    expires_in_s: float = Field(default=endpoints.ROLL_S, ge=0, le=endpoints.ROLL_S)


class LedgerQuery(_Body):
    after: int = Field(default=0, ge=0)


class DeliveryQuery(_Body):
    endpoint: str | None = None
    state: deliveries.State | None = None
    limit: int = Field(default=10, ge=1, le=1000)
    starting_after: str | None = None


Route = Callable[[Sandbox, web.Request], Awaitable[Json]]


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    return [
        web.post("/sandbox/payment_intents/{id}/authenticate", _served(sandbox, authenticate)),
        web.post("/sandbox/payment_intents/{id}/settle", _served(sandbox, settle)),
        web.post("/sandbox/refunds/{id}/settle", _served(sandbox, settle_refund)),
        web.post("/sandbox/charges/{id}/dispute", _served(sandbox, dispute_charge)),
        web.post("/sandbox/disputes/{id}/close", _served(sandbox, close_dispute)),
        web.get("/sandbox/ledger", _served(sandbox, read_ledger)),
        web.get("/sandbox/faults", _served(sandbox, show_faults)),
        web.post("/sandbox/faults", _served(sandbox, set_faults)),
        web.delete("/sandbox/faults", _served(sandbox, clear_faults)),
        web.post("/sandbox/keys", _served(sandbox, accept_keys)),
        web.get("/sandbox/clock", _served(sandbox, show_clock)),
        web.post("/sandbox/clock", _served(sandbox, advance_clock)),
        web.post("/sandbox/webhook", _served(sandbox, set_webhook)),
        web.post("/sandbox/webhook_endpoints/{id}/roll", _served(sandbox, roll_secret)),
        web.post("/sandbox/events/{id}/resend", _served(sandbox, resend)),
        web.get("/sandbox/events/{id}/deliveries", _served(sandbox, event_deliveries)),
        web.get("/sandbox/deliveries", _served(sandbox, list_deliveries)),
    ]


async def authenticate(sandbox: Sandbox, request: web.Request) -> Json:
    """Pass or fail the 3-D Secure step of a PaymentIntent."""
    return await _intent_step(sandbox, request, payment_attempts.authenticate)


async def settle(sandbox: Sandbox, request: web.Request) -> Json:
    """Let the bank pay or return the debit of a PaymentIntent that is processing."""
    return await _intent_step(sandbox, request, bank_debits.settle)


async def settle_refund(sandbox: Sandbox, request: web.Request) -> Json:
    """Let the customer's bank accept a refund, return it (even after it succeeded) or ask where to send it."""
    wanted = RefundOutcome.model_validate(await request.json())
    work = sandbox.begin()
    refund = refunds.existing(work, request.match_info["id"])
    refund = refunds.settle(work, refund, wanted.outcome, wanted.failure_reason)
    await sandbox.commit(work)
    return refund


async def dispute_charge(sandbox: Sandbox, request: web.Request) -> Json:
    """Let the customer dispute a captured charge."""
    wanted = DisputeRequest.model_validate(await request.json())
    if wanted.reason not in dispute_cases.REASONS:
        raise ValueError(f"reason must be one of {', '.join(dispute_cases.REASONS)}")
    work = sandbox.begin()
    dispute_case = dispute_cases.DisputeCase(wanted.reason, wanted.inquiry)
    dispute = disputes.dispute_captured(work, request.match_info["id"], dispute_case, wanted.amount)
    await sandbox.commit(work)
    return dispute


async def close_dispute(sandbox: Sandbox, request: web.Request) -> Json:
    """Let the issuer close a dispute."""
    work = sandbox.begin()
    dispute = disputes.rule(work, request.match_info["id"], DisputeOutcome.model_validate(await request.json()).outcome)
    await sandbox.commit(work)
    return dispute


async def read_ledger(sandbox: Sandbox, request: web.Request) -> Json:
    after = LedgerQuery.model_validate(dict(request.query)).after
    data = ledger.entries(sandbox.store, after)
    await sandbox.journal.durable()
    return {"object": "list", "data": data, "last_seq": data[-1]["seq"] if data else after}


async def show_faults(sandbox: Sandbox, request: web.Request) -> Json:
    return sandbox.faults.report()


async def set_faults(sandbox: Sandbox, request: web.Request) -> Json:
    """Replace the current fault plan."""
    sandbox.faults.set(parse_plan(await request.text()))
    return sandbox.faults.report()


async def clear_faults(sandbox: Sandbox, request: web.Request) -> Json:
    sandbox.faults.clear()
    return sandbox.faults.report()


async def accept_keys(sandbox: Sandbox, request: web.Request) -> Json:
    """Accept only these API keys from now on; an empty list accepts every test key."""
    accepted = AcceptedKeys.model_validate(await request.json()).accepted
    sandbox.api_keys.accept(accepted)
    return {"accepted": len(accepted)}


async def show_clock(sandbox: Sandbox, request: web.Request) -> Json:
    return {"now": sandbox.clock.now(), "offset_s": sandbox.clock.offset_s}


async def advance_clock(sandbox: Sandbox, request: web.Request) -> Json:
    await sandbox.advance(Advance.model_validate(await request.json()).advance_s)
    await sandbox.journal.durable()
    return await show_clock(sandbox, request)


async def set_webhook(sandbox: Sandbox, request: web.Request) -> Json:
    """Replace the webhook endpoint of the command line; pending deliveries go to the new URL."""
    wanted = EndpointRequest.model_validate(await request.json())
    endpoint = sandbox.set_endpoint(wanted.url, wanted.secret, wanted.enabled_events)
    await sandbox.journal.durable()
    return endpoints.without_secrets(endpoint)


async def roll_secret(sandbox: Sandbox, request: web.Request) -> Json:
    """Roll an endpoint's secret and return the new one; the old secret stays valid for `expires_in_s`."""
    wanted = RollRequest.model_validate(await request.json() if request.can_read_body else {})
    work = sandbox.begin()
    endpoint = endpoints.roll(work, request.match_info["id"], wanted.expires_in_s)
    await sandbox.commit(work)
    return endpoint


async def event_deliveries(sandbox: Sandbox, request: web.Request) -> Json:
    event = retained_event(sandbox.begin(), request.match_info["id"])
    return {"object": "list", "data": deliveries.of_event(sandbox.store, event["id"])}


async def list_deliveries(sandbox: Sandbox, request: web.Request) -> Json:
    """List deliveries, newest first, optionally of one endpoint or in one state."""
    query = DeliveryQuery.model_validate(dict(request.query))
    return deliveries.listed(sandbox.store, query.endpoint, query.state, query.limit, query.starting_after)


async def resend(sandbox: Sandbox, request: web.Request) -> Json:
    """Make one extra attempt at each endpoint; automatic deliveries continue."""
    work = sandbox.begin()
    event = retained_event(work, request.match_info["id"])
    await sandbox.send(work, sandbox.sender.plan_resend(work, event))
    return rendered(sandbox.store, event)


async def _intent_step(sandbox: Sandbox, request: web.Request, step: Callable[..., Json]) -> Json:
    outcome = IntentOutcome.model_validate(await request.json()).outcome
    work = sandbox.begin()
    work.origin = f"http://{request.host}"
    intent = existing(work, request.match_info["id"])
    intent = step(work, intent, succeeded=outcome == "succeed")
    await sandbox.commit(work)
    return intent


def _served(sandbox: Sandbox, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
    @wraps(route)
    async def serve(request: web.Request) -> web.Response:
        try:
            return web.json_response(await route(sandbox, request))
        except ApiError as error:
            return _error_response(error)
        except ValidationError as error:
            return _error_response(invalid(first_error(error)))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            return _error_response(invalid(f"The body must be JSON: {error}."))
        except ValueError as error:
            return _error_response(invalid(str(error)))

    return serve


def _error_response(error: ApiError) -> web.Response:
    return web.json_response({"error": error.error}, status=error.status)
