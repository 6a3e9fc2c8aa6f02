"""Test authentication for `/v1`: scopes, revocation, limits of keys, and slowing down of guesses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from payment_service.db import api_keys
from payment_service.db.api_keys import Client, KeyLimits
from payment_service.http.auth import (
    BAD_KEY_EVERY_S,
    BAD_KEYS_BURST,
    KEYS_AGE_MAX_S,
    Authenticator,
    KeyUse,
    ValidKeys,
    authenticator_for,
)
from payment_service.http.problems import Problem
from tests.support.api import Api, assert_problem, open_api
from tests.support.http import ask

TARGET: Final = "/v1/payments?order_id=a"


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
    unknown = some_key()
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


def some_key() -> str:
    """Return a well-formed key."""
    return api_keys._random_key()


async def test_a_revoked_key_is_refused_within_five_seconds() -> None:
    now = 0.0
    key = some_key()
    client = Client(uuid4(), "suite", frozenset({"read"}))
    keys = {api_keys.digest(key): client}

    async def read() -> dict[bytes, Client]:
        return dict(keys)

    authenticator = Authenticator(read, clock=lambda: now)
    assert await authenticator.authenticate(key, "192.0.2.1") == client
    keys.clear()
    now = KEYS_AGE_MAX_S - 0.1
    assert await authenticator.authenticate(key, "192.0.2.1") == client
    now = KEYS_AGE_MAX_S + 0.1
    with pytest.raises(Problem):
        await authenticator.authenticate(key, "192.0.2.1")


async def test_a_new_key_is_accepted_at_once() -> None:
    """Also right after an unknown one was refused."""
    key = some_key()
    keys: dict[bytes, Client] = {}

    async def read() -> dict[bytes, Client]:
        return dict(keys)

    authenticator = Authenticator(read)
    with pytest.raises(Problem):
        await authenticator.authenticate(key, "192.0.2.1")
    keys[api_keys.digest(key)] = Client(uuid4(), "suite", frozenset({"read"}))
    assert (await authenticator.authenticate(key, "192.0.2.1")).name == "suite"


async def test_any_number_of_unknown_keys_shares_one_query() -> None:
    """Garbage costs no transaction of its own, and known keys cost none at all."""
    now = 0.0
    reads = 0
    known = some_key()

    async def read() -> dict[bytes, Client]:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0)
        return {api_keys.digest(known): Client(uuid4(), "suite", frozenset({"read"}))}

    keys = ValidKeys(read, clock=lambda: now)
    assert set(await asyncio.gather(*(keys.find(some_key()) for _ in range(500)))) == {None}
    assert reads == 1
    assert all([await keys.find(known) for _ in range(100)])
    assert reads == 1


async def test_requests_that_wait_for_one_read_of_the_keys_share_its_failure() -> None:
    """Otherwise the last of them would wait for a timeout of the database per request before it."""
    reads = 0

    async def read() -> dict[bytes, Client]:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0)
        raise TimeoutError

    keys = ValidKeys(read, clock=lambda: 0.0)
    outcomes = await asyncio.gather(*(keys.find(some_key()) for _ in range(50)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {TimeoutError}
    assert reads == 1


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

    async def nobody() -> dict[bytes, Client]:
        return {}

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


async def create(api: Api, *, expires_after: timedelta | None = None, **limits: object) -> str:
    """Create a key with these limits."""
    given = KeyLimits(**limits)  # type: ignore[arg-type]
    return await api_keys.create(api.pool, client="suite", scopes=["read"], limits=given, expires_after=expires_after)


async def key_id(api: Api, key: str) -> UUID:
    """Return the id of a key."""
    found: UUID = await api.pool.fetchval("SELECT id FROM api_keys WHERE hash = $1", api_keys.digest(key))
    return found


async def test_an_expired_key_is_refused(api: Api) -> None:
    """By the database's clock."""
    key = await create(api, expires_after=timedelta(days=1))
    assert (await api.get(TARGET, key)).status == 200
    await api.pool.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", await key_id(api, key))
    assert api_keys.digest(key) not in await api_keys.read_valid(api.pool)


async def test_a_key_is_refused_from_other_networks() -> None:
    """IPv4 addresses are the same in IPv6 notation."""
    key = some_key()
    networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
    client = Client(uuid4(), "suite", frozenset({"read"}), networks)

    async def read() -> dict[bytes, Client]:
        return {api_keys.digest(key): client}

    authenticator = Authenticator(read)
    for address in ("192.0.2.200", "::ffff:192.0.2.1", "2001:db8::1"):
        assert await authenticator.authenticate(key, address) == client
    for address in ("192.0.3.1", "2001:db9::1", "unknown", ""):
        with pytest.raises(Problem) as refused:
            await authenticator.authenticate(key, address)
        assert refused.value.type.status == 403


async def test_the_address_of_a_key_is_the_one_that_a_trusted_proxy_reports(database_dsn: str) -> None:
    async with open_api(database_dsn, trusted_proxies="127.0.0.1") as api:
        key = await create(api, networks=(ip_network("192.0.2.0/24"),))
        assert (await api.get(TARGET, key, **{"x-forwarded-for": "192.0.2.7"})).status == 200
        for forged in ("198.51.100.1", "192.0.2.7, 198.51.100.1"):
            assert_problem(await api.get(TARGET, key, **{"x-forwarded-for": forged}), 403)
        assert_problem(await api.get(TARGET, key), 403)


async def test_a_key_has_a_rate_of_its_own(api: Api) -> None:
    limited, other = await create(api, requests_per_second=2), await api.key_for("read")
    answers = [await api.get(TARGET, limited) for _ in range(40)]
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.status for answer in answers[:2]} == {200}
    assert_problem(refused[0], 429)
    assert refused[0].headers["retry-after"] == "1"
    assert (await api.get(TARGET, other)).status == 200


async def test_the_use_of_a_key_is_noted_once_a_minute(api: Api) -> None:
    """Outside of the request. A second process within the minute writes nothing."""
    key = await create(api)
    authenticator = Authenticator(lambda: api_keys.read_valid(api.pool))
    await authenticator.authenticate(key, "192.0.2.1")
    used = authenticator.take_used()
    assert (used, authenticator.take_used()) == ({await key_id(api, key)}, set())
    await api_keys.note_use(api.pool, used)
    row = "SELECT last_used_at, xmin::text FROM api_keys WHERE id = ANY ($1::uuid[])"
    [first] = await api.pool.fetch(row, list(used))
    await api_keys.note_use(api.pool, used)
    assert [first] == await api.pool.fetch(row, list(used))
    assert first["last_used_at"] is not None


async def test_the_use_of_the_last_minute_is_noted_at_the_end_of_the_process(api: Api) -> None:
    key = await create(api)
    authenticator = authenticator_for(api.pool)
    noting = KeyUse(api.pool, authenticator)
    noting.start()
    await authenticator.authenticate(key, "127.0.0.1")
    await noting.stop()
    row = "SELECT last_used_at IS NOT NULL FROM api_keys WHERE id = $1"
    assert await api.pool.fetchval(row, await key_id(api, key))


async def test_a_database_that_is_away_does_not_keep_a_process_from_ending(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    authenticator = authenticator_for(api.pool)
    await authenticator.authenticate(await create(api), "127.0.0.1")
    monkeypatch.setattr(api_keys, "note_use", fail)
    await KeyUse(api.pool, authenticator).stop()


async def test_a_rotated_key_works_beside_its_successor_until_the_overlap_ends(api: Api) -> None:
    old = await create(api, requests_per_second=50, expires_after=timedelta(days=30))
    made = await api_keys.rotate(api.pool, await key_id(api, old), overlap=timedelta(hours=1))
    assert made is not None
    client, new, old_until = made
    assert [(await api.get(TARGET, key)).status for key in (old, new)] == [200, 200]
    limited = (
        "SELECT family, scopes, expires_at, expires_at - now() AS left FROM api_keys WHERE requests_per_second = 50"
    )
    first, second = await api.pool.fetch(f"{limited} AND client = $1 ORDER BY expires_at", client)
    assert (first["family"], first["scopes"], first["expires_at"]) == (second["family"], second["scopes"], old_until)
    assert timedelta(days=29, hours=23) < second["left"] <= timedelta(days=30)
    await api.pool.execute("UPDATE api_keys SET expires_at = now() WHERE expires_at = $1", old_until)
    valid = await api_keys.read_valid(api.pool)
    assert [api_keys.digest(key) in valid for key in (old, new)] == [False, True]
    assert await api_keys.rotate(api.pool, await key_id(api, old), overlap=timedelta(0)) is None


async def test_a_key_with_a_successor_is_not_rotated_again(api: Api) -> None:
    """The overlap has shortened its lifetime, which another successor would inherit."""
    old = await key_id(api, await create(api))
    assert await api_keys.rotate(api.pool, old, overlap=timedelta(hours=1)) is not None
    assert await api_keys.rotate(api.pool, old, overlap=timedelta(hours=1)) is None


async def test_the_number_of_valid_keys_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process keeps them in memory."""
    monkeypatch.setattr(api_keys, "VALID_MAX", 2)
    await create(api)
    with pytest.raises(ValueError, match="revoke some"):
        await create(api)
