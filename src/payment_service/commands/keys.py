"""`keys`: who may call the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.commands import screen, session
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import ApiKey, ApiKeys
from payment_service.crash_points import reached
from payment_service.db import api_keys, audit
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool


def create(client: str, scopes: Sequence[str]) -> str:
    """Make a key and give it, this once. Raises ConfigError for a name or scope that can't be."""

    async def work(pool: Pool) -> str:
        async with pool.acquire() as connection, connection.transaction():
            key = await api_keys.create(connection, client=client, scopes=scopes)
            detail = {"client": client, "scopes": sorted(set(scopes)), "prefix": api_keys.prefix_of(key)}
            await audit.append(connection, session.actor(), "keys.create", payment_id=None, detail=detail)
            reached("change.keys.create.commit.before")
        reached("change.keys.create.commit.after")
        return key

    try:
        return session.run(work)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def show_list(client: str, *, revoked: bool, as_json: bool) -> None:
    """List keys, those that are good or all."""
    keys = session.run(lambda pool: _read(pool, client, revoked=revoked))
    columns = ("id", "client", "prefix", "scopes", "created_at", "revoked_at")
    screen.show_list("Keys of the API", keys, columns, empty="There are none.", as_json=as_json)


def revoke(key_id: UUID | None, client: str, key: str, *, as_json: bool) -> None:
    """Revoke a key, or all keys of a client. Raises ConfigError, Refusal."""
    if (key_id is None) == (not client):
        raise ConfigError("Name one: the id of a key (see `keys list`), or --client.")
    named = {"id": str(key_id)} if key_id else {"client": client}
    change_request = session.change_request("keys.revoke", named, key=session.read_key(key))

    async def work(connection: Connection) -> ChangeResult:
        rows = await api_keys.revoke(connection, key_id=key_id, client=client)
        if not rows:
            raise Refusal(RefusalReason.NOT_FOUND, "There is no such key.")
        keys = ApiKeys(data=[ApiKey(**row) for row in rows])
        return ChangeResult(keys.model_dump(mode="json"))

    answer = session.run(lambda pool: change_once(pool, change_request, work))
    screen.say_key(change_request, answer)
    keys = ApiKeys.model_validate(answer.result)
    if as_json:
        screen.show_json(keys)
        return
    for one in keys.data:
        screen.say(f"{one.prefix}… of {one.client} is revoked; a process may take it for 5 s more.")


async def _read(pool: Pool, client: str, *, revoked: bool) -> ApiKeys:
    rows = await api_keys.listed(pool, client=client or None, revoked=revoked)
    return ApiKeys(data=[ApiKey(**row) for row in rows])
