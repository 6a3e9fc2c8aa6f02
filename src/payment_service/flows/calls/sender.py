"""Send the request of one attempt, or read instead of it, with no transaction open."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from payment_service.crash_points import reached
from payment_service.db import budget, payments
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.calls.cancel_guard import conclude_guard
from payment_service.flows.calls.outcomes import NOTHING_YET
from payment_service.provider.calls import attempt
from payment_service.provider.port import Call, Kind, Transient, Unknown
from payment_service.telemetry import metrics, steps, traces

if TYPE_CHECKING:
    from collections.abc import Callable

    from payment_service.db.operations import Claimed
    from payment_service.db.pool import Pool
    from payment_service.flows.calls.outcomes import CallResult
    from payment_service.provider.port import Outcome, Provider

log = structlog.get_logger(__name__)


class Sender:
    """Makes the calls of one provider. `limit_s`: the time limit of a call, in seconds."""

    def __init__(self, pool: Pool, provider: Provider, *, limit_s: float, jitter: Callable[[], float]) -> None:
        self._pool = pool
        self._provider = provider
        self._limit_s = limit_s
        self._jitter = jitter

    async def read_first(self, operation: Claimed, refuse_late: Callable[[], None]) -> CallResult | None:
        """Read what a guarded cancel would end. Return the result if it must not be sent."""
        await budget.spend(self._pool, self._provider.name)
        outcome = await self.call(replace(operation, resolving=True), refuse_late)
        return conclude_guard(operation, outcome, jitter=self._jitter)

    async def call(self, operation: Claimed, refuse_late: Callable[[], None]) -> Outcome:
        """Call the provider. `refuse_late` raises TooLate if another worker may own the operation."""
        call = self._build_call(operation, refuse_late)
        parent = await self._report_claim(operation)
        refuse_late()
        moment = "look" if operation.resolving else "call"
        reached(f"dispatch.{operation.kind}.{moment}.before")
        labels = self._provider.name, operation.kind
        in_flight = metrics.PROVIDER_CALLS_IN_FLIGHT.labels(*labels)
        span = traces.begin(f"{self._provider.name} {operation.kind}", kind="client", parent=parent)
        log.debug("call_sent", payment_id=str(operation.payment_id), kind=operation.kind, attempt=operation.attempt)
        with (
            traces.current(span),
            in_flight.track_inprogress(),
            metrics.PROVIDER_CALL_SECONDS.labels(*labels).time(),
        ):
            outcome = await attempt(self._provider, call, limit_s=self._limit_s)
            if span is not None:
                _describe(span, operation, outcome)
        reached(f"dispatch.{operation.kind}.{moment}.after")
        metrics.PROVIDER_CALLS.labels(self._provider.name, operation.kind, type(outcome).__name__.lower()).inc()
        return outcome

    async def _report_claim(self, operation: Claimed) -> str | None:
        """Report the wait for the claim. Return the payment's traceparent while traces are on."""
        if not steps.wanted():
            return None
        parent = None
        if traces.on():
            with suppress(*TRANSIENT_ERRORS):  # a call does not depend on its span's parent
                parent = await payments.traceparent_of(self._pool, operation.payment_id)
        steps.took(
            "operation_claimed",
            began_s=operation.due_at.timestamp(),
            ended_s=operation.claimed_at.timestamp(),
            payment_id=operation.payment_id,
            parent=parent,
            kind=operation.kind,
            attempt=operation.attempt,
        )
        return parent

    def _build_call(self, operation: Claimed, refuse_late: Callable[[], None]) -> Call:
        request = operation.request
        if operation.resolving and operation.kind is not Kind.RETRIEVE:
            request = self._provider.lookup_request(operation.request)
        return Call(
            kind=operation.kind,
            operation_id=operation.id,
            payment_id=operation.payment_id,
            request=request,
            idempotency_key=operation.idempotency_key,
            source=f"answer:{operation.id}",
            refuse_late=refuse_late,
        )


def _describe(span: traces.Span, operation: Claimed, outcome: Outcome) -> None:
    name = type(outcome).__name__.lower()
    span.set({"payment_id": str(operation.payment_id), "operation_id": str(operation.id)})
    span.set({"kind": operation.kind, "attempt": operation.attempt, "outcome": name})
    if isinstance(outcome, Transient | Unknown):
        span.fail(f"{name}: {outcome.code}")


def log_result(result: CallResult) -> None:
    """Log a result other than success."""
    operation, update = result.operation, result.update
    if update.outcome in {"done", "found", NOTHING_YET}:
        return
    log.warning(
        "operation_not_done",
        operation_id=str(operation.id),
        payment_id=str(operation.payment_id),
        kind=operation.kind,
        state=update.state,
        outcome=update.outcome,
        code=update.code,
        attempt=operation.attempt,
        provider_request_id=update.request_id,
    )
