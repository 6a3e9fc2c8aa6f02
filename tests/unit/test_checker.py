"""The checker of fault runs detects each kind of violation.

A checker that detects nothing would pass every run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from payment_service.domain.differences import Difference, Sides
from tests.support.checker import Evidence, violations
from tests.support.kafka import Record

PAYMENT = UUID(int=1)
DIFFERENCE = Difference(sides=Sides.ROWS, code="record_unreadable", subject="x", payment_id=None, detail="")

Tables = dict[str, list[dict[str, Any]]]


def _entry(effect: str, intent: str = "pi_1", amount: int = 1990) -> dict[str, Any]:
    return {
        "effect": effect,
        "payment_intent": intent,
        "amount": amount,
        "currency": "eur",
        "metadata": {"order_id": "o-1"},
    }


def _tables() -> Tables:
    return {
        "payments": [
            {
                "id": PAYMENT,
                "order_id": "o-1",
                "provider_payment_id": "pi_1",
                "status": "succeeded",
                "amount": 1990,
                "captured": 1990,
                "refunded": 0,
                "reserved": 0,
                "currency": "eur",
            }
        ],
        "operations": [
            {
                "payment_id": PAYMENT,
                "kind": "create",
                "state": "done",
                "epoch": 1,
                "outcome": "done",
                "outcome_code": "",
            }
        ],
        "payment_events": [
            {
                "provider_event_id": "evt_1",
                "processed": True,
                "retry_at": None,
                "parked_reason": None,
                "result": "applied",
            }
        ],
        "outbox_pending": [],
        "quarantine": [],
    }


def _clean_run(**changes: Any) -> Evidence:
    """Return the evidence of a run in which one order was paid."""
    evidence = Evidence(
        ledger=[_entry("intent.created"), _entry("charge.captured")],
        intents=[{"id": "pi_1", "status": "succeeded", "amount_received": 1990, "last_payment_error": None}],
        delivered=["evt_1"],
        tables=_tables(),
        differences=[],
        orders=[Record("orders.created", 0, 0, b"o-1", b'{"order_id": "o-1"}', {})],
        published=[],
    )
    return replace(evidence, **changes)


def test_a_clean_run_has_no_violations() -> None:
    assert violations(_clean_run()) == []


@pytest.mark.parametrize(
    ("invariant", "changes"),
    [
        pytest.param("I1", {"ledger": [*_clean_run().ledger, _entry("charge.captured")]}, id="charged twice"),
        pytest.param("I1", {"ledger": [*_clean_run().ledger, _entry("intent.created", "pi_2")]}, id="two intents"),
        pytest.param("I2", {"orders": [Record("orders.created", 0, 0, None, b"no json", {})]}, id="a lost record"),
        pytest.param(
            "I2", {"orders": [Record("orders.created", 0, 0, None, b'{"order_id": "o-2"}', {})]}, id="a lost order"
        ),
        pytest.param("I7", {"ledger": [*_clean_run().ledger, _entry("refund.created")]}, id="an unknown refund"),
        pytest.param("I3", {"intents": []}, id="an intent missing at the provider"),
        pytest.param("record_unreadable", {"differences": [DIFFERENCE]}, id="rows that contradict each other"),
        pytest.param("I8", {"delivered": ["evt_1", "evt_2"]}, id="an accepted event that was not stored"),
        pytest.param(
            "I7", {"ledger": [_entry("intent.created"), _entry("charge.captured", amount=1)]}, id="a lost cent"
        ),
    ],
)
def test_violations_at_the_provider_and_on_topics_are_found(invariant: str, changes: dict[str, Any]) -> None:
    """Each case names its invariant."""
    assert invariant in {found.invariant for found in violations(_clean_run(**changes))}


def _change(table: str, **fields: Any) -> Callable[[Tables], None]:
    return lambda tables: tables[table][0].update(fields)


@pytest.mark.parametrize(
    ("invariant", "spoil"),
    [
        pytest.param("I3", _change("payments", status="declined"), id="another status"),
        pytest.param("I3", _change("operations", state="claimed"), id="an operation in progress"),
        pytest.param("I3", _change("operations", state="parked"), id="a parked operation"),
        pytest.param("I3", _change("payment_events", processed=False, retry_at="soon"), id="a pending event"),
        pytest.param(
            "I3", lambda tables: tables["outbox_pending"].append({"aggregateid": PAYMENT}), id="an unpublished row"
        ),
        pytest.param("I7", _change("payments", reserved=1), id="a refund that the provider does not have"),
        pytest.param("I7", _change("payments", currency="usd"), id="another currency"),
    ],
)
def test_violations_in_the_database_are_found(invariant: str, spoil: Callable[[Tables], None]) -> None:
    """Each case names its invariant."""
    tables = _tables()
    spoil(tables)
    assert invariant in {found.invariant for found in violations(_clean_run(tables=tables))}
