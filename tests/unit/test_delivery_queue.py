"""Groups of deliveries: in order of arrival, and never two of one payment at a time."""

from __future__ import annotations

from uuid import UUID

from payment_service.flows.webhooks.deliveries import GROUP_MAX, Delivery, DeliveryQueue, deliver
from payment_service.provider.port import Disposition, ProviderEvent


def delivery(event_id: str, payment: int | None = None) -> Delivery:
    """Make a delivery of an event that names a payment."""
    event = ProviderEvent(
        provider="stripe",
        event_id=event_id,
        event_type="payment_intent.succeeded",
        occurred_at=1,
        payload="{}",
        disposition=Disposition.APPLY,
        payment_id=None if payment is None else UUID(int=payment),
        intent_id=None,
        fact=None,
    )
    return deliver(event, "secret-1")


def names(group: list[Delivery]) -> list[str]:
    return [one.event.event_id for one in group]


async def test_a_second_event_of_a_payment_waits_for_the_group_of_the_first() -> None:
    queue = DeliveryQueue()
    queue.add(delivery("a1", 1))
    first = queue.take_group()
    for one in (delivery("a2", 1), delivery("b1", 2), delivery("c"), delivery("a3", 1)):
        queue.add(one)
    second = queue.take_group()
    assert (names(first), names(second)) == (["a1"], ["b1", "c"])
    assert queue.take_group() == []
    queue.release(first)
    assert names(queue.take_group()) == ["a2", "a3"]
    assert len(queue) == 0


async def test_a_group_has_a_limit() -> None:
    queue = DeliveryQueue()
    for number in range(GROUP_MAX + 1):
        queue.add(delivery(f"evt_{number}", number))
    assert (len(queue.take_group()), len(queue)) == (GROUP_MAX, 1)
