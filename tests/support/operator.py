"""An operator who retries and resolves items that need attention."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID, uuid4

from payment_service.db.audit import Actor
from payment_service.flows.operators.attention import AttentionItems, FoundItem, OperatorClaim
from payment_service.flows.requests.idempotency import ChangeRequest
from tests.support.bank import Bank
from tests.support.eventually import eventually_async
from tests.support.harness import Harness
from tests.support.sandbox import SandboxProcess

REFUND = {"method": "POST", "path": "/v1/refunds"}
REFUSAL = {"action": "status", "code": 404, "headers": {"Request-Id": "req_refused"}, "times": 1}
# A refusal by an intermediary: it lacks the provider's headers.
PROXY = {"action": "status", "code": 404, "headers": {"Request-Id": ""}, "times": 1}


class Operator:
    """Retry and resolve items of a harness or a bank that need attention."""

    def __init__(self, harness: Harness | Bank) -> None:
        self._pool = harness.flows.pool
        self._items = AttentionItems(harness.flows.context(wake_dispatcher=harness.dispatcher.wake))

    async def parked(self, kind: str) -> UUID:
        """Wait until a call of this kind is parked."""

        async def look() -> Any:
            return await self._pool.fetchval("SELECT id FROM operations WHERE kind = $1 AND state = 'parked'", kind)

        found: UUID = await eventually_async(look)
        return found

    async def retry(self, name: object, key: str = "") -> str:
        """Retry; return how: `sent_anew`, `read_first` or `tried_again`."""
        found = await self._find(name)
        return str((await self._items.retry(found, self._change_request("attention.retry", found, key))).result["done"])

    async def resolve(
        self, name: object, what: Literal["happened", "never", "close"], provider_id: str = "", key: str = ""
    ) -> str:
        """Make an operator's claim; return how it was recorded."""
        found = await self._find(name)
        truth = OperatorClaim(what=what, provider_id=provider_id, note="looked it up")
        change_request = self._change_request("attention.resolve", found, key)
        return str((await self._items.resolve(found, truth, change_request)).result["done"])

    async def _find(self, name: object) -> FoundItem:
        return await self._items.find(str(name))

    def _change_request(self, action: str, found: FoundItem, key: str) -> ChangeRequest:
        actor = Actor(client="cli", person="suite")
        return ChangeRequest(
            actor=actor,
            key=key or str(uuid4()),
            action=action,
            payment_id=found.payment_id,
            parameters={"id": found.name},
        )


def effects(sandbox: SandboxProcess, effect: str) -> int:
    """Count an effect in the provider's ledger."""
    return sum(entry["effect"] == effect for entry in sandbox.ledger())


async def expire_reads(harness: Harness) -> None:
    """Make both reads that must find nothing complete: date the first one back."""
    past = (
        "UPDATE operations SET due_at = now(), last_sent_at = now() - interval '10 s',"
        " empty_read_at = now() - interval '2 min' WHERE state = 'due' AND resolving"
    )

    async def ended() -> bool:
        await harness.flows.pool.execute(past)
        return not await harness.flows.pool.fetchval(
            "SELECT count(*) FROM operations WHERE state IN ('due', 'claimed')"
        )

    await eventually_async(ended, timeout_s=20)


async def shown(harness: Harness, payment: UUID) -> dict[str, Any]:
    answer: dict[str, Any] = (await harness.get(f"/v1/payments/{payment}")).json
    return answer


async def unfindable(harness: Harness, operator: Operator, payment: UUID) -> UUID:
    """Create a refund of 5.00 that two reads do not find."""
    harness.sandbox.faults({"match": REFUND, "phase": "before", **PROXY})
    await harness.refund(payment, "5.00")
    await operator.retry(await operator.parked("refund"))
    await expire_reads(harness)
    return await operator.parked("refund")
