"""The unions of all facts about a payment and of all verdicts on them."""

from __future__ import annotations

from payment_service.domain.dispute import DisputeFact, DisputeListFact, DisputeVerdict
from payment_service.domain.payment import Fact, Verdict
from payment_service.domain.refund import AnyRefundFact, RefundVerdict
from payment_service.domain.unexpected import UnexpectedFact

SingleFact = Fact | AnyRefundFact | DisputeFact | UnexpectedFact
AnyFact = SingleFact | DisputeListFact
AnyVerdict = Verdict | RefundVerdict | DisputeVerdict
