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
from payment_service.flows.errors import Refusal, Why

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from payment_service.db.audit import Actor
    from payment_service.db.pool import Connection, Pool
    from payment_service.flows.surroundings import Surroundings
    from payment_service.flows.transition import Fold


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
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
class Answered:
    """What the caller is told: an HTTP status and JSON text. `replayed`: it was told before; `about`: a payment that was made.

    `fold`: what was written for it, to be counted once it is committed.
    """

    status: int
    body: str
    replayed: bool = False
    about: UUID | None = None
    fold: Fold | None = None


async def change_once(pool: Pool, asking: Asking, work: Callable[[Connection], Awaitable[Answered]]) -> Answered:
    """Do the work in a transaction, or answer as before. Raises Refusal, and TRANSIENT_ERRORS when nothing is known to be done."""
    client = asking.actor.client
    async with pool.acquire() as connection, connection.transaction():
        if not await idempotency_keys.take_turn(connection, client, asking.key):
            message = "A request with this Idempotency-Key is being worked on: send it again in a second."
            raise Refusal(Why.IN_PROGRESS, message, retry_after_s=1)
        if (kept := await idempotency_keys.find(connection, client, asking.key)) is not None:
            require_same(kept.fingerprint, asking)
            return Answered(kept.status, kept.body, replayed=True)
        answer = await work(connection)
        kept = StoredResult(asking.fingerprint, answer.status, answer.body)
        await idempotency_keys.keep(connection, client, asking.key, kept)
        detail = {**asking.asked, "key": asking.key}
        about = asking.payment_id or answer.about
        await audit.append(connection, asking.actor, asking.action, payment_id=about, detail=detail)
        reached(f"change.{asking.action}.commit.before")
    reached(f"change.{asking.action}.commit.after")
    return answer


async def change_payments_once(
    here: Surroundings, asking: Asking, work: Callable[[Connection], Awaitable[Answered]]
) -> Answered:
    """Do as `change_once`; then count what was written, and wake those who have work by it."""
    answer = await change_once(here.pool, asking, work)
    if answer.fold is not None:
        here.after(answer.fold)
    return answer


def require_same(fingerprint: bytes, asking: Asking) -> None:
    """Raise Refusal where a key that was used for one thing is now used for another."""
    if fingerprint != asking.fingerprint:
        raise key_mismatch()


def key_mismatch() -> Refusal:
    """Word the refusal of a key that was used for something else."""
    message = "This Idempotency-Key was used for another request: use a new key for each change."
    return Refusal(Why.KEY_MISMATCH, message)
