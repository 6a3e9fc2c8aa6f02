"""Random sequences of calls, bank results and waits: money is counted once, and final statuses stay final."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.resources import bank_debits, captures, intents, payment_attempts
from stripe_sandbox.resources.timer_handlers import fire
from stripe_sandbox.resources.transitions import TRANSITIONS
from stripe_sandbox.state.store import Store, Transaction
from stripe_sandbox.state.unit_of_work import UnitOfWork

AMOUNT = 1000
START = 1_800_000_000.0
DAY_S = 24 * 3600

METHODS = st.sampled_from(
    [
        "pm_card_visa",
        "pm_card_chargeDeclined",
        "pm_card_authenticationRequired",
        "pm_card_threeDSecureRequiredChargeDeclined",
        "pm_usBankAccount_success",
        "pm_usBankAccount_insufficientFunds",
        "pm_usBankAccount_processing",
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("confirm"), METHODS),
    st.tuples(st.just("confirm_off_session"), METHODS),
    st.tuples(st.just("attach"), METHODS),
    st.tuples(st.just("capture"), st.integers(-1, AMOUNT + 1)),
    st.tuples(st.just("cancel"), st.none()),
    st.tuples(st.sampled_from(["authenticate", "settle"]), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, DAY_S, 8 * DAY_S])),
)
MOVES = {(origin, one.status) for one in TRANSITIONS for origin in one.origins}


class Walk:
    """An intent, driven without HTTP, with the statuses it has had."""

    def __init__(self, capture_method: str, confirmation_method: str) -> None:
        self.store = Store()
        self.now = START
        self.statuses: list[str] = []
        params = {
            "amount": AMOUNT,
            "currency": "usd",
            "payment_method_types": ["card", "us_bank_account"],
            "capture_method": capture_method,
            "confirmation_method": confirmation_method,
        }
        self._run(lambda work: intents.create(work, params, {}))

    @property
    def id(self) -> str:
        return str(self.intent["id"])

    @property
    def intent(self) -> Json:
        [only] = self.store["payment_intent"].rows.values()
        return only

    def effects(self, name: str) -> list[int]:
        """Return the amounts of the ledger's entries with this effect."""
        return [entry["amount"] for entry in self.store["ledger"].rows.values() if entry["effect"] == name]

    def events(self) -> list[str]:
        return [event["type"] for event in self.store["event"].rows.values()]

    def take(self, step: tuple[str, Any]) -> None:
        kind, value = step
        if kind == "wait":
            self._wait(value)
            return
        path = {"id": self.id}
        acts: dict[str, Callable[[UnitOfWork], Any]] = {
            "confirm": lambda work: intents.confirm(work, {"payment_method": value}, path),
            "confirm_off_session": lambda work: intents.confirm(
                work, {"payment_method": value, "off_session": "true"}, path
            ),
            "attach": lambda work: intents.update(work, {"payment_method": value}, path),
            "capture": lambda work: captures.capture(work, {"amount_to_capture": value}, path),
            "cancel": lambda work: intents.cancel(work, {}, path),
            "authenticate": lambda work: payment_attempts.authenticate(work, self.intent, succeeded=value),
            "settle": lambda work: bank_debits.settle(work, self.intent, succeeded=value),
        }
        with suppress(ApiError):
            self._run(acts[kind])

    def _run(self, act: Callable[[UnitOfWork], object]) -> None:
        """Apply the operation, or nothing if it raises."""
        work = UnitOfWork(Transaction(self.store), self.now)
        act(work)
        self.store.apply(work.tx.records())
        self.statuses.append(self.intent["status"])

    def _wait(self, seconds: float) -> None:
        target = self.now + seconds
        while due := [row for row in self.store["timer"].rows.values() if row["due"] <= target]:
            timer = min(due, key=lambda row: row["due"])
            self.now = timer["due"]
            self._run(partial(fire, timer=timer))
        self.now = target


@settings(max_examples=300, deadline=None)
@given(
    capture_method=st.sampled_from(["automatic", "automatic_async", "manual"]),
    confirmation_method=st.sampled_from(["automatic", "manual"]),
    steps=st.lists(STEPS, max_size=12),
)
def test_ledger_intent_and_events_agree_after_any_sequence_of_steps(
    capture_method: str, confirmation_method: str, steps: list[tuple[str, Any]]
) -> None:
    walk = Walk(capture_method, confirmation_method)
    for step in steps:
        walk.take(step)

    captured = walk.effects("charge.captured")
    assert len(captured) <= 1, "an intent is captured at most once"
    assert sum(captured) == walk.intent["amount_received"] <= AMOUNT
    assert (walk.intent["status"] == "succeeded") == bool(captured)
    authorized = AMOUNT if walk.intent["status"] == "requires_capture" else 0
    assert walk.intent["amount_capturable"] == authorized
    captured_authorization = sum(captured) if capture_method == "manual" and walk.effects("charge.authorized") else 0
    assert len(walk.effects("charge.authorized")) == len(walk.effects("charge.released")) + bool(authorized) + bool(
        captured_authorization
    )
    assert walk.events().count("payment_intent.succeeded") == len(captured)
    assert walk.events().count("payment_intent.canceled") == (walk.intent["status"] == "canceled")


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, max_size=12), capture_method=st.sampled_from(["automatic", "manual"]))
def test_every_status_change_is_in_the_transition_table(steps: list[tuple[str, Any]], capture_method: str) -> None:
    walk = Walk(capture_method, "automatic")
    for step in steps:
        walk.take(step)
    moved = set(zip(walk.statuses, walk.statuses[1:], strict=False))
    assert {move for move in moved if move[0] != move[1]} <= MOVES
