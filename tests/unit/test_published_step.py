"""Test that reporting a published record cannot stop the publishing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from payment_service.db.outbox import OutboxRow
from payment_service.kafka import publication
from payment_service.telemetry import steps


@pytest.mark.parametrize("header", [b"\xff\xfe", b"", "00-\u00e4".encode()])
def test_a_dead_letter_with_any_traceparent_is_reported(monkeypatch: pytest.MonkeyPatch, header: bytes) -> None:
    """A dead letter keeps the headers of its sender, byte by byte."""
    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(steps, "took", lambda _name, **fields: reported.append(fields))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    headers = json.dumps([("traceparent", header.decode("latin-1"))])
    row = OutboxRow(1, UUID(int=1), "orders.created.dlq", None, None, headers, now)
    publication._report_published(row, SimpleNamespace(partition=0, offset=0), now)  # type: ignore[arg-type]
    assert [one["parent"] for one in reported] == [header.decode("latin-1")]
