"""Test that a late attempt sends nothing."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

import pytest

from payment_service.provider.port import Call, Kind, TooLate, Unknown
from payment_service.provider.stripe.adapter import Stripe
from payment_service_events.currency import currency
from payment_service_events.money import Money
from tests.support.flows import config_for

PAYMENT = UUID("8d8b3c0e-6a4e-5b7c-9a51-0c5d5e1c8f00")


@pytest.mark.parametrize("checks_passed", [0, 1])
async def test_an_attempt_that_is_late_at_any_check_sends_no_byte(checks_passed: int) -> None:
    """The client delays the headers until a separate task sends the body, so the last check comes after that."""
    received = bytearray()
    closed = asyncio.Event()
    left = checks_passed

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(65_536))
        writer.close()
        closed.set()

    def refuse_late() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooLate

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider = Stripe(config_for("postgresql://x@127.0.0.1:9/x", f"http://127.0.0.1:{port}"), now_s=lambda: 0.0)
        request = provider.create_request(payment_id=PAYMENT, order_id="o-1", amount=Money(1990, currency("eur")))
        call = Call(
            kind=Kind.CREATE,
            operation_id=PAYMENT,
            payment_id=PAYMENT,
            request=request,
            idempotency_key="create:1",
            source="answer:1",
            refuse_late=refuse_late,
        )
        with contextlib.suppress(TooLate):
            assert isinstance(await provider.send(call), Unknown)
        await provider.close()
        async with asyncio.timeout(5):
            await closed.wait()
    assert left == -1
    assert received == b""
