"""Unexpected money: the provider has received money that no request asked for. It is never applied and never dropped."""

from __future__ import annotations

from dataclasses import dataclass

from payment_service.domain.payment import Parked


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexpectedFact:
    """Money that is partial, excess, duplicate or late. `detail`: one sentence for an operator; `at`: provider's clock,
    seconds.
    """

    detail: str
    at: int
    source: str


def park(fact: UnexpectedFact) -> Parked:
    """Park it for an operator, whatever the payment's status."""
    return Parked("unexpected_money", fact.detail)
