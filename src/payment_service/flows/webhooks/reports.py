"""Report the steps of events: stored, and applied to their payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.telemetry import steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from payment_service.db.events import Result
    from payment_service.flows.state.fold import Fold
    from payment_service.flows.webhooks.deliveries import Delivery
    from payment_service.provider.port import EventKey


def report_stored(group: Sequence[Delivery], fold: Fold, results: Iterable[Result], began_s: float) -> None:
    """Report a group that was committed. A step is part of the payment's trace, and links to the request that brought the event.

    The payment of an event that waits is not loaded: the step is then part of the request's trace.
    """
    if not steps.wanted():
        return
    by_key = {result.event.key: result for result in results}
    for delivery in group:
        result = by_key.get(delivery.event.key)
        payment_id = (result.payment_id if result else None) or delivery.event.payment_id
        trace = _trace_of(fold, result) if result else None
        steps.took(
            "webhook_stored",
            began_s=began_s,
            payment_id=payment_id,
            parent=trace or delivery.traceparent,
            links=[delivery.traceparent] if delivery.traceparent else [],
            event_id=delivery.event.event_id,
            event_type=delivery.event.event_type,
        )
    report_applied(fold, by_key.values(), began_s, {one.event.key: one.traceparent for one in group if one.traceparent})


def report_applied(
    fold: Fold, results: Iterable[Result], began_s: float, requests: Mapping[EventKey, str] | None = None
) -> None:
    """Report the events that were applied, or known already. `requests`: which requests brought them."""
    if not steps.wanted():
        return
    for result in results:
        if not result.processed or result.payment_id is None or result.payment_id not in fold:
            continue
        request = (requests or {}).get(result.event.key)
        steps.took(
            "event_applied",
            began_s=began_s,
            payment_id=result.payment_id,
            parent=_trace_of(fold, result),
            links=[request] if request else [],
            order_id=fold.payment(result.payment_id).order_id,
            event_id=result.event.event_id,
            result=result.result,
            status=fold.payment(result.payment_id).status,
        )


def _trace_of(fold: Fold, result: Result) -> str | None:
    name = result.payment_id
    return fold.payment(name).traceparent if name is not None and name in fold else None
