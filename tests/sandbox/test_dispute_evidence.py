"""Evidence for a dispute: staging, submission, merging and validation."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.disputes import PAST_DEADLINE_S, disputed, pay, submit
from tests.support.sandbox import SandboxProcess


def test_staged_evidence_can_be_submitted_later(client: Any) -> None:
    dispute = disputed(client)
    staged = client.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Ada"}, "submit": False})
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    assert staged.evidence_details.submission_count == 0

    sent = client.v1.disputes.update(dispute.id, {"submit": True})

    assert (sent.status, sent.evidence.customer_name) == ("under_review", "Ada")
    assert sent.evidence_details.submission_count == 1


def test_staged_evidence_does_not_stop_the_deadline(client: Any, sandbox: SandboxProcess) -> None:
    dispute = disputed(client)
    client.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Ada"}, "submit": False})
    sandbox.advance(PAST_DEADLINE_S)
    assert client.v1.disputes.retrieve(dispute.id).status == "lost"


def test_late_evidence_is_marked_past_due(client: Any, sandbox: SandboxProcess) -> None:
    dispute = submit(client, disputed(client))
    assert dispute.evidence_details.past_due is False
    sandbox.advance(PAST_DEADLINE_S)
    assert submit(client, dispute, "One more thing.").evidence_details.past_due is True


def test_submission_without_evidence_changes_nothing(client: Any) -> None:
    dispute = disputed(client)
    assert client.v1.disputes.update(dispute.id, {"submit": True}) == dispute


def test_evidence_is_merged_and_cleared_by_an_empty_text(client: Any) -> None:
    dispute = disputed(client)
    for evidence in ({"customer_name": "Ada", "receipt": "file_1"}, {"customer_name": ""}):
        dispute = client.v1.disputes.update(dispute.id, {"evidence": evidence, "submit": False})
    assert (dispute.evidence.customer_name, dispute.evidence.receipt) == (None, "file_1")


def test_compliance_fee_is_acknowledged_with_the_evidence(client: Any) -> None:
    dispute = disputed(client, "createComplianceDispute")
    asked = dispute.evidence_details.enhanced_eligibility.visa_compliance
    assert (dispute.enhanced_eligibility_types, asked.status) == (["visa_compliance"], "requires_fee_acknowledgement")

    granted = {"enhanced_evidence": {"visa_compliance": {"fee_acknowledged": True}}}
    dispute = client.v1.disputes.update(dispute.id, {"evidence": granted})

    assert dispute.evidence_details.enhanced_eligibility.visa_compliance.status == "fee_acknowledged"


def test_compelling_evidence_needs_two_earlier_payments(client: Any) -> None:
    dispute = disputed(client, "createCe3EligibleDispute")
    prior = [{"charge": pay(client).latest_charge, "customer_account_id": "7"} for _ in range(2)]

    def eligibility(**given: Any) -> Any:
        evidence = {"enhanced_evidence": {"visa_compelling_evidence_3": given}}
        changed = client.v1.disputes.update(dispute.id, {"evidence": evidence, "submit": False})
        return changed.evidence_details.enhanced_eligibility.visa_compelling_evidence_3

    one = eligibility(prior_undisputed_transactions=prior[:1])
    assert (one.status, one.required_actions) == (
        "requires_action",
        ["missing_merchandise_or_services", "missing_prior_undisputed_transactions"],
    )
    goods = {"merchandise_or_services": "merchandise", "shipping_address": {"city": "Rome"}}
    both = eligibility(prior_undisputed_transactions=prior, disputed_transaction=goods)
    assert (both.status, both.required_actions) == ("qualified", [])


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"evidence": {"color": "red"}}, "parameter_unknown", "evidence[color]"),
        (
            {"evidence": {"uncategorized_text": "x" * 20_001}},
            "parameter_invalid_string_length",
            "evidence[uncategorized_text]",
        ),
        ({"evidence": "none"}, None, "evidence"),
        ({"submit": "maybe"}, None, "submit"),
        ({"amount": 1}, "parameter_unknown", "amount"),
    ],
)
def test_invalid_update_is_rejected_and_changes_nothing(
    client: Any, change: dict[str, Any], code: str | None, param: str
) -> None:
    dispute = disputed(client)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.disputes.update(dispute.id, change)
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (400, code, param)
    assert client.v1.disputes.retrieve(dispute.id) == dispute
