"""The optional methods by which reconciliation lists and reads a provider's objects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from payment_service.provider.port import Transient

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.domain.facts import AnyFact

# Stripe's maximum. A page of intents with their charges has about 700 kB.
PAGE_SIZE: Final = 100


class ObjectKind(StrEnum):
    """The kinds of objects that reconciliation compares."""

    INTENT = "intent"
    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object as a list or a read shows it.

    - `created`: the provider's clock, seconds; 0 if it cannot be read.
    - `intent_id`: the intent itself, or the intent of a charge, refund or dispute.
    - `deployment`, `order_id`, `payment_id`: the metadata, if the object has them.
    - `fact`: None if the object cannot be parsed, or if `relevant` is false.
    - `relevant`: false for objects that move no money, such as a failed charge.
    - `returned`: the money of an intent or charge is refunded completely.
    """

    kind: ObjectKind
    object_id: str
    created: int
    intent_id: str | None
    deployment: str | None = None
    order_id: str | None = None
    payment_id: UUID | None = None
    fact: AnyFact | None = None
    relevant: bool = True
    returned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPage:
    """A page of a list, newest first. `after`: the id after which the next page starts; None on the last page."""

    objects: tuple[ListedObject, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class NoObject:
    """The provider has no object with this id."""


@runtime_checkable
class Reconcilable(Protocol):
    """A provider whose objects can be listed. Neither method raises, changes or retries anything."""

    async def list_objects(
        self, kind: ObjectKind, *, created_from: int, created_to: int, after: str
    ) -> ListedPage | Transient:
        """List up to PAGE_SIZE objects of a window (seconds, inclusive) that follow the object `after`, newest first.

        `after` is empty for the first page. Return `Transient`, with a code for the log, on any failure.
        """
        ...

    async def read_object(self, kind: ObjectKind, object_id: str) -> ListedObject | NoObject | Transient:
        """Read one object. Return `Transient`, with a code for the log, on any failure."""
        ...
