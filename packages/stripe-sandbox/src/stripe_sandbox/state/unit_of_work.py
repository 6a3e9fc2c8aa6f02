"""The unit of work of one operation: its transaction, its time, and its request."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from stripe_sandbox.errors import Json
from stripe_sandbox.state.store import Transaction


def new_id(prefix: str) -> str:
    """Return the prefix and 24 characters (96 bits), as long as Stripe's."""
    return prefix + secrets.token_hex(12)


@dataclass(slots=True)
class UnitOfWork:
    """The transaction and context of an operation.

    `request_id` is None outside an API request; `publishable` is set for a browser's key.
    """

    tx: Transaction
    now: float
    origin: str = ""
    request_id: str | None = None
    idempotency_key: str | None = None
    publishable: bool = False
    events: list[Json] = field(default_factory=list)

    @property
    def created(self) -> int:
        """The time in whole seconds, as Stripe writes it."""
        return int(self.now)


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of an operation; a decline is one too, because its effects stay."""

    body: Json
    status: int = 200
