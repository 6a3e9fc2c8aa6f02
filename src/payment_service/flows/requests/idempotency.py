"""A change that a caller asks for: once under its key, with its answer kept, and noted who asked.

The work, the answer and the audit row are one transaction. A refusal is not kept: what could not be done then may be possible
when the same key is tried again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from payment_service.crash_points import reached
from payment_service.db import audit, idempotency_keys
from payment_service.db.idempotency_keys import StoredResult
from payment_service.flows.state.errors import Refusal, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from payment_service.db.audit import Actor
    from payment_service.db.pool import Connection, Pool
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRequest:
    """A request for a change. `action` and `asked` (JSON values) say exactly what; the key belongs to the actor's client."""

    actor: Actor
    key: str
    action: str
    payment_id: UUID | None
    asked: Mapping[str, Any]

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of what is asked for, however its JSON was written."""
        subject = [self.action, str(self.payment_id or ""), dict(self.asked)]
        return sha256(json.dumps(subject, sort_keys=True, separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The result of a change, as JSON values. `replayed`: an earlier request under this key had it; `about`: a payment it made.

    `fold`: the rows written for it, counted after the commit.
    """

    result: Mapping[str, Any]
    replayed: bool = False
    about: UUID | None = None
    fold: Fold | None = None


async def change_once(
    pool: Pool, change_request: ChangeRequest, work: Callable[[Connection], Awaitable[ChangeResult]]
) -> ChangeResult:
    """Do the work in a transaction, or answer as before. Raises Refusal, and TRANSIENT_ERRORS when nothing is known to be done."""
    client = change_request.actor.client
    async with pool.acquire() as connection, connection.transaction():
        if not await idempotency_keys.lock(connection, client, change_request.key):
            message = "A request with this Idempotency-Key is being worked on: send it again in a second."
            raise Refusal(RefusalReason.IN_PROGRESS, message, retry_after_s=1)
        if (kept := await idempotency_keys.find(connection, client, change_request.key)) is not None:
            require_same(kept.fingerprint, change_request)
            return ChangeResult(kept.result, replayed=True)
        answer = await work(connection)
        kept = StoredResult(change_request.fingerprint, answer.result)
        await idempotency_keys.store(connection, client, change_request.key, kept)
        detail = {**change_request.asked, "key": change_request.key}
        about = change_request.payment_id or answer.about
        await audit.append(connection, change_request.actor, change_request.action, payment_id=about, detail=detail)
        reached(f"change.{change_request.action}.commit.before")
    reached(f"change.{change_request.action}.commit.after")
    return answer


async def change_payments_once(
    context: Context, change_request: ChangeRequest, work: Callable[[Connection], Awaitable[ChangeResult]]
) -> ChangeResult:
    """Do as `change_once`; then count what was written, and wake those who have work by it."""
    answer = await change_once(context.pool, change_request, work)
    if answer.fold is not None:
        context.after(answer.fold)
    return answer


def require_same(fingerprint: bytes, change_request: ChangeRequest) -> None:
    """Raise Refusal where a key that was used for one thing is now used for another."""
    if fingerprint != change_request.fingerprint:
        raise key_mismatch()


def key_mismatch() -> Refusal:
    """Word the refusal of a key that was used for something else."""
    message = "This Idempotency-Key was used for another request: use a new key for each change."
    return Refusal(RefusalReason.KEY_MISMATCH, message)
