"""Claims of a deployment name at a provider's account, which several installations may share (I18).

Ids and idempotency keys derive from the deployment's name. Two installations of one name at one account would share
intents: one charge, two paid orders. `docs/decisions/0012-one-installation-per-name.md` says what is detected.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The row of `installation`, and `database`, which tells a copied database from its original; empty if unknown.

    `account` and `livemode` are those of the first start with the provider; None before. `claimed_at`: when the account
    first confirmed the claim.
    """

    id: UUID
    deployment: str
    created_at: datetime
    account: str | None
    livemode: bool | None
    claimed_at: datetime | None
    database: str


class ClaimState(StrEnum):
    """The answer of an account to a claim."""

    HELD = "held"  # the name is this installation's
    NOT_PERMITTED = "not_permitted"  # the key may not claim, and nothing contradicts the claim
    UNAVAILABLE = "unavailable"  # no answer now
    TAKEN = "taken"  # the name is another installation's
    COPIED = "copied"  # the name is this installation's, as another database
    OTHER_ACCOUNT = "other_account"  # the key belongs to another account than before


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """`account`: its id, or empty if unread. `detail`: the holder of the name, the other account, or an error code."""

    state: ClaimState
    account: str = ""
    detail: str = ""


@runtime_checkable
class AccountClaims(Protocol):
    """The optional methods of a provider at whose account a deployment name can be claimed."""

    name: str
    livemode: bool

    async def claim(self, installation: Installation, *, move: bool = False) -> ClaimAnswer:
        """Claim the name, or check the claim. `move`: take it from whoever has it. Never raise."""
        ...
