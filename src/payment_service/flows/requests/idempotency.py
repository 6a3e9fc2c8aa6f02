"""Run a requested change once per idempotency key, store its response, and audit who requested it.

The work, the stored response and the audit row are one transaction. A refusal is not stored: the same key may succeed
later.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from payment_service.crash_points import reached
from payment_service.db import audit, idempotency_keys
from payment_service.db.idempotency_keys import StoredResult
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.telemetry import steps, traces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from payment_service.db.audit import Actor
    from payment_service.db.pool import Connection, Pool
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """A request for a change. `action` and `parameters` (JSON values) define it. The key belongs to the actor's client."""

    actor: Actor
    key: str
    action: str
    payment_id: UUID | None
    parameters: Mapping[str, Any]

    @property
    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the request, independent of its JSON formatting."""
        subject = [self.action, str(self.payment_id or ""), dict(self.parameters)]
        return sha256(json.dumps(subject, sort_keys=True, separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The result of a change, as JSON values. `replayed`: an earlier request with this key produced it.

    `about`: a payment that it created. `fold`: the written changes, counted after the commit.
    """

    result: Mapping[str, Any]
    replayed: bool = False
    about: UUID | None = None
    fold: Fold | None = None


async def change_once(
    pool: Pool, change_request: ChangeRequest, work: Callable[[Connection], Awaitable[ChangeResult]]
) -> ChangeResult:
    """Do the work in a transaction, or return the stored result. Raise Refusal.

    Raise TRANSIENT_ERRORS when the outcome is unknown.
    """
    client = change_request.actor.client
    async with pool.acquire() as connection, connection.transaction():
        await lock_key(connection, change_request)
        if (stored := await idempotency_keys.find(connection, client, change_request.key)) is not None:
            require_same(stored.fingerprint, change_request)
            return ChangeResult(stored.result, replayed=True)
        result = await work(connection)
        stored = StoredResult(change_request.fingerprint, result.result)
        await idempotency_keys.store(connection, client, change_request.key, stored)
        detail = {**change_request.parameters, "key": change_request.key}
        about = change_request.payment_id or result.about
        await audit.append(connection, change_request.actor, change_request.action, payment_id=about, detail=detail)
        reached(f"change.{change_request.action}.commit.before")
    reached(f"change.{change_request.action}.commit.after")
    return result


async def change_payments_once(
    context: Context, change_request: ChangeRequest, work: Callable[[Connection], Awaitable[ChangeResult]]
) -> ChangeResult:
    """Run `change_once`, then count the changes and wake the loops that have work."""
    began_s = time.time()
    result = await change_once(context.pool, change_request, work)
    if result.fold is not None:
        context.after_commit(result.fold)
        _report(change_request, result.fold, began_s)
    return result


def _report(change_request: ChangeRequest, fold: Fold, began_s: float) -> None:
    payment_id, request = change_request.payment_id, traces.current_traceparent()
    if payment_id is None or payment_id not in fold or not steps.wanted():
        return
    payment = fold.payment(payment_id)
    steps.took(
        "change_requested",
        began_s=began_s,
        payment_id=payment_id,
        parent=payment.traceparent,
        links=[request] if request else [],
        order_id=payment.order_id,
        action=change_request.action,
    )


async def lock_key(connection: Connection, change_request: ChangeRequest) -> None:
    """Lock the idempotency key until the transaction ends. Raise Refusal if another request has locked it."""
    if not await idempotency_keys.lock(connection, change_request.actor.client, change_request.key):
        message = "A request with this Idempotency-Key is in progress: send it again in a second."
        raise Refusal(RefusalReason.IN_PROGRESS, message, retry_after_s=1)


def require_same(fingerprint: bytes, change_request: ChangeRequest) -> None:
    """Raise Refusal if a key is reused for another request."""
    if fingerprint != change_request.fingerprint:
        raise key_mismatch()


def key_mismatch() -> Refusal:
    """Build the refusal of a key that was used for another request."""
    message = "This Idempotency-Key was used for a different request: use a new key for each change."
    return Refusal(RefusalReason.KEY_MISMATCH, message)
