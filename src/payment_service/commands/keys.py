"""`keys`: create, list, rotate and revoke API keys."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from payment_service.commands import operator, output, session
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import ApiKey, ApiKeys
from payment_service.crash_points import reached
from payment_service.db import api_keys, audit
from payment_service.db.api_keys import KeyLimits, Network
from payment_service.domain.money import parse
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service_events.currency import UnknownCurrency, currency
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

T = TypeVar("T")


def read_limits(
    networks: Sequence[str],
    requests_per_second: int | None,
    refunds_per_day: int | None,
    refund_amounts_per_day: Sequence[str],
    refund_amounts_max: Sequence[str],
) -> KeyLimits:
    """Read the limits of a key from options. Raises ConfigError."""
    return KeyLimits(
        networks=tuple(_read_network(text) for text in networks),
        requests_per_second=requests_per_second,
        refunds_per_day=refunds_per_day,
        refund_amounts_per_day=_read_amounts(refund_amounts_per_day, "--refund-amount-per-day"),
        refund_amounts_max=_read_amounts(refund_amounts_max, "--refund-amount-max"),
    )


def create(client: str, scopes: Sequence[str], limits: KeyLimits, expires: str) -> str:
    """Create a key and return it once. Raises ConfigError for an invalid name, scope or duration."""
    expires_after = session.read_duration(expires, option="--expires") if expires else None

    async def work(connection: Connection) -> tuple[str, dict[str, object]]:
        key = await api_keys.create(
            connection, client=client, scopes=scopes, limits=limits, expires_after=expires_after
        )
        return key, {"client": client, "scopes": sorted(set(scopes)), "prefix": api_keys.prefix_of(key)}

    try:
        return _make("keys.create", work)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def rotate(key_id: UUID, overlap: str) -> str:
    """Create a key's successor and return it once. Raises ConfigError for an invalid duration, Refusal."""
    overlap_time = session.read_duration(overlap, option="--overlap")

    async def work(connection: Connection) -> tuple[str, dict[str, object]]:
        made = await api_keys.rotate(connection, key_id, overlap=overlap_time)
        if made is None:
            raise _unknown_key()
        client, key, until = made
        old.update(client=client, until=output.plain(until))
        return key, {"client": client, "id": str(key_id), "prefix": api_keys.prefix_of(key)}

    old: dict[str, str] = {}
    made = _make("keys.rotate", work)
    output.print_note(f"The old key of {old['client']} works until {old['until']}.")
    return made


def _make(action: str, work: Callable[[Connection], Awaitable[tuple[str, dict[str, object]]]]) -> str:
    """Make a key and its audit entry in one transaction, and return the key. It is stored nowhere, so no repetition
    returns it.
    """

    who = operator.actor()  # may ask, so before the transaction

    async def within(pool: Pool) -> str:
        async with pool.acquire() as connection, connection.transaction():
            key, detail = await work(connection)
            await audit.append(connection, who, action, payment_id=None, detail=detail)
            reached(f"change.{action}.commit.before")
        reached(f"change.{action}.commit.after")
        return key

    return _run(within)


def _run(work: Callable[[Pool], Awaitable[T]]) -> T:
    try:
        return session.run(work)
    except asyncpg.InsufficientPrivilegeError:
        message = "The role in DB_DSN may not change keys: use the login of the operator's role (docs/deployment.md)."
        raise ConfigError(message) from None


def show_list(client: str, *, ended: bool, as_json: bool) -> None:
    """List the valid keys, or all keys."""
    keys = session.run(lambda pool: _read(pool, client, ended=ended))
    columns = ("id", "client", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    output.print_list("API keys", keys, columns, empty="There are no keys.", as_json=as_json)


def revoke(key_id: UUID | None, client: str, key: str, *, as_json: bool) -> None:
    """Revoke a key, or all keys of a client. Raises ConfigError, Refusal."""
    if (key_id is None) == (not client):
        raise ConfigError("Give either the id of a key (see `keys list`) or --client.")
    named = {"id": str(key_id)} if key_id else {"client": client}
    change_request = session.change_request("keys.revoke", named, key=session.read_key(key))

    async def work(connection: Connection) -> ChangeResult:
        rows = await api_keys.revoke(connection, key_id=key_id, client=client)
        if not rows:
            raise _unknown_key()
        keys = ApiKeys(data=[ApiKey(**row) for row in rows])
        return ChangeResult(keys.model_dump(mode="json"))

    answer = _run(lambda pool: change_once(pool, change_request, work))
    output.print_key(change_request, answer)
    keys = ApiKeys.model_validate(answer.result)
    if as_json:
        output.print_json(keys)
        return
    for one in keys.data:
        output.print_note(f"Key {one.prefix}… of {one.client} is revoked; processes may accept it for another 5 s.")


async def _read(pool: Pool, client: str, *, ended: bool) -> ApiKeys:
    rows = await api_keys.listed(pool, client=client or None, ended=ended)
    return ApiKeys(data=[ApiKey(**row) for row in rows])


def _unknown_key() -> Refusal:
    return Refusal(
        RefusalReason.NOT_FOUND, "No such key exists, or it has a successor: `keys list` shows the valid ones."
    )


def _read_network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ConfigError("--network takes an address or a network, such as 10.0.0.7 or 10.0.1.0/24.") from None


def _read_amounts(texts: Sequence[str], option: str) -> dict[str, int]:
    """Return minor units by currency. Raises ConfigError."""
    amounts: dict[str, int] = {}
    for text in texts:
        code, _, amount = text.partition(":")
        try:
            unit = currency(code)
            amounts[unit.code] = parse(amount, unit).minor
        except (UnknownCurrency, MoneyError):
            raise ConfigError(f"{option} takes a currency and an amount, such as eur:500.00.") from None
    return amounts
