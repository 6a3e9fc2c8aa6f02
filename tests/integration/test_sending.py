"""Test that a late attempt sends nothing."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from payment_service.provider.port import TooLate, Unknown
from payment_service.provider.stripe.adapter import Stripe
from tests.support.flows import config_for
from tests.support.provider_calls import create_call


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
        call = create_call(provider, refuse_late=refuse_late)
        with contextlib.suppress(TooLate):
            assert isinstance(await provider.send(call), Unknown)
        await provider.close()
        async with asyncio.timeout(5):
            await closed.wait()
    assert left == -1
    assert received == b""
