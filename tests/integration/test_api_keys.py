"""Test authentication for `/v1`: scopes, revocation, and slowing down of guesses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from payment_service.db import api_keys
from payment_service.http.auth import BAD_KEY_EVERY_S, BAD_KEYS_BURST, CACHE_S, Authenticator
from payment_service.http.problems import Problem
from tests.support.api import Api, assert_problem, open_api
from tests.support.http import ask


@pytest.fixture
async def api(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn) as opened:
        yield opened


async def test_a_key_is_shown_once_and_stored_as_a_hash(api: Api) -> None:
    """A dump of the table reveals no key."""
    row = dict((await api.pool.fetch("SELECT * FROM api_keys"))[0])
    assert api.key.startswith(row["prefix"])
    assert len(row["prefix"]) < 10
    assert api.key not in str(row)
    assert (await api.get("/v1/payments?order_id=a")).status == 200


@pytest.mark.parametrize(("client", "scopes"), [("suite", []), ("suite", ["write"]), ("", ["read"]), ("a\nb", ["read"]), ("x" * 65, ["read"])])  # fmt: skip
async def test_a_key_needs_a_name_and_known_scopes(api: Api, client: str, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        await api_keys.create(api.pool, client=client, scopes=scopes)


async def test_every_invalid_key_gets_the_same_response(api: Api) -> None:
    """Byte for byte: unknown, revoked, mistyped, in the query, without scheme, or absent."""
    revoked = await api_keys.create(api.pool, client="gone", scopes=["read"])
    await api_keys.revoke(api.pool, client="gone")
    mistyped = api.key[:-1] + ("0" if api.key[-1] != "0" else "1")
    unknown = "psk_" + "A" * 43
    unknown += api_keys._checksum(unknown)
    target = "/v1/payments?order_id=a"
    answers = [
        await ask(api.port, "GET", target),
        await ask(api.port, "GET", target, {"authorization": ""}),
        await ask(api.port, "GET", target, {"authorization": api.key}),
        await ask(api.port, "GET", target, {"authorization": f"Basic {api.key}"}),
        await ask(api.port, "GET", target, {"authorization": f"Bearer {api.key} x"}),
        await ask(
            api.port, "GET", target, {"authorization": f"Bearer {api.key}", "Authorization": f"Bearer {api.key}"}
        ),
        await ask(api.port, "GET", f"{target}&api_key={api.key}&access_token={api.key}"),
        *[await api.get(target, key) for key in (revoked, mistyped, unknown, "psk_", "x" * 5000, "\xe9")],
    ]
    for answer in answers:
        assert_problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    assert len({answer.body for answer in answers}) == 1


async def test_a_key_without_the_required_scope_is_forbidden(api: Api) -> None:
    for scopes in (["checkout"], ["refund"], ["checkout", "refund"]):
        assert_problem(await api.get("/v1/payments?order_id=a", await api.key_for(*scopes)), 403)


@pytest.mark.parametrize("scopes", [["read"], ["admin"], ["read", "refund"]])
async def test_admin_includes_every_scope(api: Api, scopes: list[str]) -> None:
    assert (await api.get("/v1/payments?order_id=a", await api.key_for(*scopes))).status == 200


async def test_a_revoked_key_is_refused_within_five_seconds() -> None:
    """A valid key is cached for 5 s. An invalid key is not cached."""
    now = 0.0
    client: api_keys.Client | None = None
    asked = 0

    async def find(_key: str) -> api_keys.Client | None:
        nonlocal asked
        asked += 1
        return client

    authenticator = Authenticator(find, clock=lambda: now)
    key = "psk_" + "A" * 43
    key += api_keys._checksum(key)
    with pytest.raises(Problem):
        await authenticator.authenticate(key, "192.0.2.1")
    client = api_keys.Client(uuid4(), "suite", frozenset({"read"}))
    assert await authenticator.authenticate(key, "192.0.2.1") == client
    found, client = client, None
    now = CACHE_S - 0.1
    assert await authenticator.authenticate(key, "192.0.2.1") == found
    assert asked == 2
    now = CACHE_S + 0.1
    with pytest.raises(Problem):
        await authenticator.authenticate(key, "192.0.2.1")


async def test_invalid_keys_are_rate_limited_and_valid_keys_are_not(api: Api) -> None:
    """From the same address: guessing must not lock out other clients."""
    target = "/v1/payments?order_id=a"
    bad = [await api.get(target, f"psk_guess_{n}") for n in range(BAD_KEYS_BURST + 10)]
    assert {answer.status for answer in bad[:BAD_KEYS_BURST]} == {401}
    assert bad[-1].status == 429
    assert_problem(bad[-1], 429)
    assert int(bad[-1].headers["retry-after"]) >= 1
    assert (await api.get(target)).status == 200
    assert (await api.get(target, await api.key_for("read"))).status == 200
    assert (await ask(api.port, "GET", target)).status == 401


async def test_invalid_keys_are_limited_per_address_and_the_limit_recovers() -> None:
    """IPv6 addresses count per /64, because a client controls its whole /64."""
    now = 0.0

    async def nobody(_key: str) -> None:
        return None

    authenticator = Authenticator(nobody, clock=lambda: now)

    async def status(address: str) -> int:
        with pytest.raises(Problem) as refused:
            await authenticator.authenticate("psk_bad", address)
        return refused.value.type.status

    assert {await status("192.0.2.1") for _ in range(BAD_KEYS_BURST)} == {401}
    assert await status("192.0.2.1") == 429
    now += BAD_KEY_EVERY_S
    assert await status("192.0.2.1") == 401
    assert {await status(f"2001:db8::{n:x}") for n in range(BAD_KEYS_BURST)} == {401}
    assert await status("2001:db8::ffff") == 429
