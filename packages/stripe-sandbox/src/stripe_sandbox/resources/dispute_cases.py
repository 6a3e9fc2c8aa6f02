"""Dispute cases, and those that the test cards and accounts open (https://docs.stripe.com/testing#disputes)."""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.resources.instruments import Instrument


@dataclass(frozen=True, slots=True)
class DisputeCase:
    """The reason for a dispute; `program` is the network's program for enhanced evidence, if any."""

    reason: str
    inquiry: bool = False
    program: str | None = None

    @property
    def status(self) -> str:
        return "warning_needs_response" if self.inquiry else "needs_response"

    @property
    def case_type(self) -> str:
        if self.reason == "noncompliant":
            return "compliance"
        return "inquiry" if self.inquiry else "chargeback"

    @property
    def network_reason_code(self) -> str | None:
        """Return Visa's code for every network; None if the reason has several codes."""
        return "10" if self.inquiry else _CODES.get(self.reason)


REASONS = (
    "bank_cannot_process",
    "check_returned",
    "credit_not_processed",
    "customer_initiated",
    "debit_not_authorized",
    "duplicate",
    "fraudulent",
    "general",
    "incorrect_account_details",
    "insufficient_funds",
    "noncompliant",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
)
"""https://docs.stripe.com/api/disputes/object#dispute_object-reason"""

_CODES = {
    "credit_not_processed": "13.7",
    "duplicate": "12.6.1",
    "fraudulent": "10.4",
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "subscription_canceled": "13.2",
}

_FRAUD = DisputeCase("fraudulent")
_UNAUTHORIZED = (DisputeCase("debit_not_authorized"),)
_BY_CARD = {
    "createDispute": (_FRAUD,),
    "createDisputeProductNotReceived": (DisputeCase("product_not_received"),),
    "createDisputeInquiry": (DisputeCase("fraudulent", inquiry=True),),
    "createMultipleDisputes": (_FRAUD, _FRAUD),
    "createCe3EligibleDispute": (DisputeCase("fraudulent", program="visa_compelling_evidence_3"),),
    "createComplianceDispute": (DisputeCase("noncompliant", program="visa_compliance"),),
    "createMastercardComplianceDispute": (DisputeCase("noncompliant", program="mastercard_compliance"),),
    "createAutoRepresentmentEligibleDispute": (_FRAUD,),
    "pm_usBankAccount_dispute": _UNAUTHORIZED,
}


def of(instrument: Instrument) -> tuple[DisputeCase, ...]:
    """Return the disputes that a payment with this instrument opens at once."""
    if instrument.name.startswith("pm_disputed_"):
        return _UNAUTHORIZED
    return _BY_CARD.get(instrument.name, ())
