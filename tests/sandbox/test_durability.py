"""State survives kill -9, and a damaged state file stops the start with a one-line error."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.support.eventually import eventually
from tests.support.sandbox import COMMAND, SandboxProcess

GOOD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}


def start_expecting_failure(state: Path) -> str:
    ended = subprocess.run(
        [COMMAND, "--port", "0", "--state", state], capture_output=True, text=True, timeout=20, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


def test_acknowledged_changes_survive_kill_9(own_sandbox: SandboxProcess) -> None:
    """After a kill during traffic, every acknowledged create and its ledger entries still exist."""
    own_sandbox.start()
    client: Any = own_sandbox.client()
    acknowledged: list[str] = []

    def traffic() -> None:
        try:
            while True:
                params = {**GOOD, "payment_method": "pm_card_visa", "confirm": True}
                acknowledged.append(client.v1.payment_intents.create(params).id)
        except stripe.APIConnectionError:
            return

    threads = [threading.Thread(target=traffic) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(acknowledged) >= 100)
    own_sandbox.kill()
    for thread in threads:
        thread.join()

    own_sandbox.start()

    client = own_sandbox.client()
    captured = {entry["payment_intent"] for entry in own_sandbox.ledger() if entry["effect"] == "charge.captured"}
    assert set(acknowledged) <= captured
    assert [client.v1.payment_intents.retrieve(one).status for one in acknowledged] == ["succeeded"] * len(acknowledged)
    assert [entry["seq"] for entry in own_sandbox.ledger()] == list(range(1, len(own_sandbox.ledger()) + 1))


def test_ledger_can_be_read_from_a_position(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    client: Any = own_sandbox.client()
    for _ in range(3):
        client.v1.payment_intents.create(GOOD)

    assert [entry["seq"] for entry in own_sandbox.ledger(after=1)] == [2, 3]
    assert own_sandbox.ledger(after=3) == []


def test_clock_never_runs_backwards_across_a_restart(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    own_sandbox.advance(86_400)
    before = own_sandbox.control("GET", "/sandbox/clock")["now"]
    own_sandbox.kill()
    own_sandbox.start()

    assert own_sandbox.control("GET", "/sandbox/clock")["now"] >= before


def test_incomplete_last_line_is_dropped(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    client: Any = own_sandbox.client()
    intent = client.v1.payment_intents.create(GOOD)
    own_sandbox.kill()
    assert own_sandbox.state is not None
    with own_sandbox.state.open("ab") as file:
        file.write(b'[["payment_intent","pi_torn",{"id":')

    own_sandbox.start()

    client = own_sandbox.client()
    assert [one.id for one in client.v1.payment_intents.list().data] == [intent.id]


def test_damaged_state_file_stops_the_start(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text('damaged\n[["setting","clock",{"offset_s":0}]]\n')

    error = start_expecting_failure(state)

    assert "line 1 is damaged" in error
    assert len(error.strip().splitlines()) == 1


def test_second_process_cannot_use_the_same_state_file(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    assert own_sandbox.state is not None

    assert "in use by another sandbox" in start_expecting_failure(own_sandbox.state)


def test_process_stops_cleanly_during_a_hanging_request(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    own_sandbox.faults({"action": "hang", "seconds": 60, "times": 1})
    client: Any = own_sandbox.client()

    def hang() -> None:
        with pytest.raises(stripe.APIConnectionError):
            client.v1.balance.retrieve()

    thread = threading.Thread(target=hang)
    thread.start()
    eventually(lambda: own_sandbox.faults_struck() == [1])

    own_sandbox.stop()

    thread.join()
