"""`keys`: create, list and revoke API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.commands import output, session
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
    """Create a key and return it once. Raises ConfigError for an invalid name or scope."""

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
    """List the valid keys, or all keys."""
    keys = session.run(lambda pool: _read(pool, client, revoked=revoked))
    columns = ("id", "client", "prefix", "scopes", "created_at", "revoked_at")
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
            raise Refusal(RefusalReason.NOT_FOUND, "No such key exists: `keys list` shows the valid ones.")
        keys = ApiKeys(data=[ApiKey(**row) for row in rows])
        return ChangeResult(keys.model_dump(mode="json"))

    answer = session.run(lambda pool: change_once(pool, change_request, work))
    output.print_key(change_request, answer)
    keys = ApiKeys.model_validate(answer.result)
    if as_json:
        output.print_json(keys)
        return
    for one in keys.data:
        output.print_note(f"Key {one.prefix}… of {one.client} is revoked; processes may accept it for another 5 s.")


async def _read(pool: Pool, client: str, *, revoked: bool) -> ApiKeys:
    rows = await api_keys.listed(pool, client=client or None, revoked=revoked)
    return ApiKeys(data=[ApiKey(**row) for row in rows])
