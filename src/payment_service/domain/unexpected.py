"""Money that a provider has for a payment and that nobody asked it for: never applied, never dropped."""

from __future__ import annotations

from dataclasses import dataclass

from payment_service.domain.payment import Parked


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexpectedFact:
    """A part of the money, too much of it, twice, or too late. `detail`: a sentence for a person; `at`: the provider's clock, seconds."""

    detail: str
    at: int
    source: str


def park(fact: UnexpectedFact) -> Parked:
    """Leave it to a person, whatever the payment's state."""
    return Parked("unexpected_money", fact.detail)
