"""Random sequences of refund operations: no money is created or lost."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stripe_sandbox.errors import ApiError
from stripe_sandbox.resources import refunds, timer_handlers
from stripe_sandbox.resources.balances import totals
from stripe_sandbox.routes import OPERATIONS
from stripe_sandbox.state.ledger import entries
from stripe_sandbox.state.store import Store, Transaction
from stripe_sandbox.state.unit_of_work import UnitOfWork

NOW = 1_800_000_000.0
AMOUNT = 1000
CARDS = ("pm_card_visa", "pm_card_pendingRefund", "pm_card_refundFail")

REFUND = st.tuples(st.just("refund"), st.none() | st.integers(1, AMOUNT + 1))
SETTLE = st.tuples(st.sampled_from(["succeed", "fail", "require_action", "cancel"]), st.integers(0, 9))
STRIKE = st.tuples(st.just("strike"), st.integers(0, 9))

RUN = {f"{operation.method} {operation.path}": operation.run for operation in OPERATIONS}


class Account:
    """A paid intent and its refunds, driven without HTTP, one transaction per operation."""

    def __init__(self, card: str, captured: int) -> None:
        self.store = Store()
        params = {"amount": AMOUNT, "currency": "usd", "payment_method": card, "payment_method_types": ["card"]}
        self.intent_id = self.call("/v1/payment_intents", {**params, "capture_method": "manual", "confirm": True})["id"]
        self.call("/v1/payment_intents/{id}/capture", {"amount_to_capture": captured}, self.intent_id)

    def call(self, path: str, params: dict[str, Any], subject: str = "") -> dict[str, Any]:
        """Run a POST operation of the API."""
        body: dict[str, Any] = self.do(lambda work: RUN[f"POST {path}"](work, params, {"id": subject})).body
        return body

    def do(self, step: Any) -> Any:
        work = UnitOfWork(Transaction(self.store), NOW)
        result = step(work)
        self.store.apply(work.tx.records())
        return result

    def step(self, name: str, argument: int | None) -> None:
        """Run one operation. A rejected operation must change nothing."""
        if name == "refund":
            params = {"payment_intent": self.intent_id} | ({"amount": argument} if argument else {})
            self.call("/v1/refunds", params)
        elif name == "strike":
            for timer in list(self.store["timer"].rows.values())[argument:][:1]:
                self.do(lambda work, timer=timer: timer_handlers.fire(work, timer))
        elif made := self.refunds:
            refund = made[(argument or 0) % len(made)]
            if name == "cancel":
                self.call("/v1/refunds/{id}/cancel", {}, refund["id"])
            else:
                self.do(lambda work: refunds.settle(work, refund, name))

    @property
    def refunds(self) -> list[dict[str, Any]]:
        return list(self.store["refund"].rows.values())

    @property
    def charge(self) -> dict[str, Any]:
        [charge] = self.store["charge"].rows.values()
        return charge

    def ledger_sum(self, *effects: str) -> int:
        return sum(entry["amount"] for entry in entries(self.store, 0) if entry["effect"] in effects)


@given(
    card=st.sampled_from(CARDS),
    captured=st.integers(1, AMOUNT),
    steps=st.lists(st.one_of(REFUND, SETTLE, STRIKE), max_size=20),
)
def test_live_refunds_never_exceed_the_capture_and_all_totals_agree(
    card: str, captured: int, steps: list[tuple[str, int | None]]
) -> None:
    account = Account(card, captured)
    balance_before = sum(account.do(totals)["usd"])

    for name, argument in steps:
        with contextlib.suppress(ApiError):
            account.step(name, argument)

        live = sum(one["amount"] for one in account.refunds if one["status"] in refunds.EFFECTIVE)
        assert live <= captured
        charge = account.charge
        assert charge["amount_refunded"] == live, "a release is no refund since 2025-03-31.basil"
        assert charge["refunded"] == (live == captured)
        dead = account.ledger_sum("refund.failed", "refund.canceled")
        assert account.ledger_sum("refund.created") - dead == live
        assert sum(account.do(totals)["usd"]) == balance_before - live
        assert account.ledger_sum("refund.succeeded") <= account.ledger_sum("refund.created")
