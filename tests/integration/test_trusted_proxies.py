"""Whose address is the client's: a trusted proxy says so in X-Forwarded-For, and nobody else may."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payment_service.http.auth import BAD_KEYS_BURST
from tests.support.api import Api, open_api

TARGET = "/v1/payments?order_id=a"


@pytest.fixture
async def behind_proxy(database_dsn: str) -> AsyncIterator[Api]:
    """An API that takes 127.0.0.1, where the requests of tests come from, and a second proxy for its proxies."""
    async with open_api(database_dsn, trusted_proxies=("127.0.0.1", "10.77.0.0/24")) as opened:
        yield opened


@pytest.fixture
async def open_to_the_world(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn, trusted_proxies=("10.77.0.0/24",)) as opened:
        yield opened


async def guess(api: Api, *addresses: str) -> list[int]:
    """Send a bad key with each of these in X-Forwarded-For, and give the answers' statuses."""
    answers = [await api.get(TARGET, f"psk_guess_{n}", **{"x-forwarded-for": a}) for n, a in enumerate(addresses)]
    return [answer.status for answer in answers]


async def test_bad_keys_are_counted_by_the_address_that_a_trusted_proxy_names(behind_proxy: Api) -> None:
    """One client's guessing does not slow down the others behind the same proxy."""
    assert await guess(behind_proxy, *["192.0.2.1"] * (BAD_KEYS_BURST + 1)) == [401] * BAD_KEYS_BURST + [429]
    assert await guess(behind_proxy, "192.0.2.2", "192.0.2.1, 192.0.2.3") == [401, 401]


async def test_what_a_client_wrote_itself_before_the_proxy_added_its_address_is_ignored(behind_proxy: Api) -> None:
    """The last address that is no proxy's counts: what stands before it, anybody may have written."""
    forged = [f"203.0.113.{n}, 192.0.2.1, 10.77.0.{n}" for n in range(BAD_KEYS_BURST + 1)]
    assert await guess(behind_proxy, *forged) == [401] * BAD_KEYS_BURST + [429]


async def test_the_header_of_anybody_else_is_ignored(open_to_the_world: Api) -> None:
    forged = [f"192.0.2.{n}" for n in range(BAD_KEYS_BURST + 1)]
    assert await guess(open_to_the_world, *forged) == [401] * BAD_KEYS_BURST + [429]


@pytest.mark.parametrize("header", ["", ",", "unknown", "192.0.2.1:99999999999999999999", "[::1", "a" * 9_000])
async def test_a_header_that_names_nobody_breaks_nothing(header: str, behind_proxy: Api) -> None:
    answer = await behind_proxy.get(TARGET, **{"x-forwarded-for": header})
    assert answer.status == 200
