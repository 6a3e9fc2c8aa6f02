"""What one operation works with: its transaction, its moment, the request that asked for it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from stripe_sandbox.errors import Json
from stripe_sandbox.state.store import Transaction


def new_id(prefix: str) -> str:
    """A prefix and 24 characters (96 bits), as long as Stripe's."""
    return prefix + secrets.token_hex(12)


@dataclass(slots=True)
class UnitOfWork:
    """`request_id` is None for what happens by itself or by the control API; `publishable` tells a browser's key."""

    tx: Transaction
    now: float
    origin: str = ""
    request_id: str | None = None
    idempotency_key: str | None = None
    publishable: bool = False
    events: list[Json] = field(default_factory=list)

    @property
    def created(self) -> int:
        """The moment in whole seconds, as Stripe writes it."""
        return int(self.now)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation answers; a decline is a reply too, as its effects stay."""

    body: Json
    status: int = 200
