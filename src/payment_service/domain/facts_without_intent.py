"""Facts about a payment that has no intent at the provider, and never gets one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedFact:
    """A final refusal to create an intent, so the payment can never be paid."""

    code: str
    reason: str
    at: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawnFact:
    """A create that was withdrawn before it was sent, so the payment can never be paid. `code`: the reason."""

    code: str
    at: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeFact:
    """An order of total 0: nothing to collect. `at`: the order record's time, seconds."""

    at: int
