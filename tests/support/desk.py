"""A person before a till, who lets go of what is parked."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID, uuid4

from payment_service.db.audit import Actor
from payment_service.flows.change import Asking
from payment_service.flows.release_parked import Found, Parking, Truth
from tests.support.bank import Bank
from tests.support.eventually import eventually_async
from tests.support.sandbox import SandboxProcess
from tests.support.till import Till

REFUND = {"method": "POST", "path": "/v1/refunds"}
REFUSAL = {"action": "status", "code": 404, "headers": {"Request-Id": "req_refused"}, "times": 1}
# A refusal of something between us and the provider, which bears no name of the provider's.
PROXY = {"action": "status", "code": 404, "headers": {"Request-Id": ""}, "times": 1}


class Desk:
    """A person before a till, or a bank."""

    def __init__(self, place: Till | Bank) -> None:
        self._pool = place.flows.pool
        self._parking = Parking(place.flows.surroundings(wake_dispatcher=place.dispatcher.wake))

    async def parked(self, kind: str) -> UUID:
        """Wait until a call of this kind is parked."""

        async def look() -> Any:
            return await self._pool.fetchval("SELECT id FROM operations WHERE kind = $1 AND state = 'parked'", kind)

        found: UUID = await eventually_async(look)
        return found

    async def retry(self, name: object, key: str = "") -> str:
        """Try again; what was done."""
        found = await self._find(name)
        return (await self._parking.retry(found, self._asking("parked.retry", found, key))).body

    async def resolve(
        self, name: object, what: Literal["happened", "never", "close"], provider_id: str = "", key: str = ""
    ) -> str:
        """Say what is true; what was done."""
        found = await self._find(name)
        truth = Truth(what=what, provider_id=provider_id, note="looked it up")
        return (await self._parking.resolve(found, truth, self._asking("parked.resolve", found, key))).body

    async def _find(self, name: object) -> Found:
        return await self._parking.find(str(name), name if isinstance(name, UUID) else None)

    def _asking(self, action: str, found: Found, key: str) -> Asking:
        actor = Actor(client="cli", person="suite")
        return Asking(
            actor=actor, key=key or str(uuid4()), action=action, payment_id=found.payment_id, asked={"id": found.name}
        )


def effects(sandbox: SandboxProcess, effect: str) -> int:
    """How often something happened, by the provider's own ledger."""
    return sum(entry["effect"] == effect for entry in sandbox.ledger())


async def look_again(till: Till) -> None:
    """Let the two reads that must find nothing be over: the first was long ago."""
    past = (
        "UPDATE operations SET due_at = now(), last_sent_at = now() - interval '10 s',"
        " empty_read_at = now() - interval '2 min' WHERE state = 'due' AND resolving"
    )

    async def ended() -> bool:
        await till.flows.pool.execute(past)
        return not await till.flows.pool.fetchval("SELECT count(*) FROM operations WHERE state IN ('due', 'claimed')")

    await eventually_async(ended, timeout_s=20)


async def shown(till: Till, payment: UUID) -> dict[str, Any]:
    answer: dict[str, Any] = (await till.get(f"/v1/payments/{payment}")).json
    return answer


async def unfindable(till: Till, desk: Desk, payment: UUID) -> UUID:
    """A refund of 5.00 that two reads did not find."""
    till.sandbox.faults({"match": REFUND, "phase": "before", **PROXY})
    await till.refund(payment, "5.00")
    await desk.retry(await desk.parked("refund"))
    await look_again(till)
    return await desk.parked("refund")
