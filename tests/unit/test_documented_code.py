"""Fragments of Python and files that pages show run with the real code around them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from payment_service.bank_transfer.statement import read_statement
from payment_service_events import MemoryStore
from scripts.sample_records import ANNOUNCEMENTS, record_of

ROOT: Final = Path(__file__).parents[2]
READ: Final = [record_of(published) for published in ANNOUNCEMENTS]


@dataclass
class Message:
    """A record as confluent-kafka passes it."""

    number: int

    def topic(self) -> str:
        return READ[self.number].topic

    def value(self) -> bytes | None:
        return READ[self.number].value

    def headers(self) -> list[tuple[str, bytes | None]]:
        return list(READ[self.number].headers)

    def error(self) -> None:
        return None


class StubConsumer:
    """A consumer with a message of each kind. It ends by KeyboardInterrupt, as a person would end it."""

    def __init__(self) -> None:
        self.messages = [Message(number) for number in range(len(READ))]
        self.stored = 0

    def subscribe(self, topics: list[str]) -> None:
        assert {message.topic() for message in self.messages} <= set(topics)

    def poll(self, _timeout_s: float) -> Message:
        if not self.messages:
            raise KeyboardInterrupt
        return self.messages.pop(0)

    def store_offsets(self, _message: Message) -> None:
        self.stored += 1


def block(page: str, language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    return found[number]


@pytest.mark.parametrize("number", range(len(READ)))
def test_the_fragment_reads_every_event(number: int) -> None:
    names: dict[str, Any] = {"message": Message(number), "store": MemoryStore()}
    exec(block("docs/consuming.md", "python"), names)  # noqa: S102 - our own page
    assert names["history"] == [names["event"]] or tuple(names["history"]) == (names["event"],)


def test_the_loop_passes_every_event_on() -> None:
    names: dict[str, Any] = {}
    exec(block("packages/payment-service-events/README.md", "python", 1), names)  # noqa: S102 - our own page
    consumer, handled = StubConsumer(), []
    with pytest.raises(KeyboardInterrupt):
        names["consume"](consumer, MemoryStore(), lambda event, _history: handled.append(event.id))
    assert len(handled) == consumer.stored == len(READ)


def test_the_conformance_test_is_valid() -> None:
    names: dict[str, Any] = {}
    exec(block("docs/providers.md", "python"), names)  # noqa: S102 - our own page
    assert set(names["test_acme_conforms"].pytestmark[0].args[1]) == set(names["CHECKS"])


def test_the_statement_is_read() -> None:
    lines = block("docs/providers.md", "csv").encode().splitlines(keepends=True)
    [found] = read_statement(lines, today=date(2026, 12, 25))
    assert isinstance(found, tuple)
    transfer = found[1]
    assert str(transfer.amount) == "19.90 eur"
    assert "RF85HFFY4NDHEY5TH47J" in transfer.text.replace(" ", "")
