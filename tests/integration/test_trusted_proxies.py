"""Test the client address: only a trusted proxy may set it in X-Forwarded-For."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payment_service.http.auth import BAD_KEYS_BURST
from tests.support.api import Api, open_api

TARGET = "/v1/payments?order_id=a"


@pytest.fixture
async def behind_proxy(database_dsn: str) -> AsyncIterator[Api]:
    """Serve an API that trusts 127.0.0.1, the address of test requests, and a second proxy."""
    async with open_api(database_dsn, trusted_proxies=("127.0.0.1", "10.77.0.0/24")) as opened:
        yield opened


@pytest.fixture
async def open_to_the_world(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn, trusted_proxies=("10.77.0.0/24",)) as opened:
        yield opened


async def guess(api: Api, *addresses: str) -> list[int]:
    """Send an invalid key with each X-Forwarded-For value. Return the responses' statuses."""
    answers = [await api.get(TARGET, f"psk_guess_{n}", **{"x-forwarded-for": a}) for n, a in enumerate(addresses)]
    return [answer.status for answer in answers]


async def test_invalid_keys_are_limited_by_the_address_from_a_trusted_proxy(behind_proxy: Api) -> None:
    """A client that guesses does not slow down other clients behind the same proxy."""
    assert await guess(behind_proxy, *["192.0.2.1"] * (BAD_KEYS_BURST + 1)) == [401] * BAD_KEYS_BURST + [429]
    assert await guess(behind_proxy, "192.0.2.2", "192.0.2.1, 192.0.2.3") == [401, 401]


async def test_addresses_written_by_the_client_are_ignored(behind_proxy: Api) -> None:
    """The last address that is no proxy counts: anybody may have written the ones before it."""
    forged = [f"203.0.113.{n}, 192.0.2.1, 10.77.0.{n}" for n in range(BAD_KEYS_BURST + 1)]
    assert await guess(behind_proxy, *forged) == [401] * BAD_KEYS_BURST + [429]


async def test_the_header_from_an_untrusted_address_is_ignored(open_to_the_world: Api) -> None:
    forged = [f"192.0.2.{n}" for n in range(BAD_KEYS_BURST + 1)]
    assert await guess(open_to_the_world, *forged) == [401] * BAD_KEYS_BURST + [429]


@pytest.mark.parametrize("header", ["", ",", "unknown", "192.0.2.1:99999999999999999999", "[::1", "a" * 9_000])
async def test_an_invalid_header_is_ignored(header: str, behind_proxy: Api) -> None:
    answer = await behind_proxy.get(TARGET, **{"x-forwarded-for": header})
    assert answer.status == 200
