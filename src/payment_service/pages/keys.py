"""API keys: create, show once, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.auth import SCOPES

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.db.pool import Connection
    from payment_service.pages.site import Visit


# A key that moves money needs limits: `payment-service keys create`.
_OFFERED: Final = (Scope.READ, Scope.CHECKOUT)


async def overview(visit: Visit, *, created: str = "", problem: str | None = None) -> Response:
    """List the valid keys."""
    rows = await api_keys.listed(visit.parts.context.pool, client=None, ended=False)
    scopes = [(scope.value, SCOPES[scope]) for scope in _OFFERED]
    return visit.page(
        "keys.html",
        section="keys",
        keys=rows,
        scopes=scopes,
        created=created,
        entered=visit.form,
        problem=problem,
    )


async def create(visit: Visit) -> Response:
    """Create a key and show it once."""
    client = visit.form.get("client", "").strip()
    scopes = [scope.value for scope in _OFFERED if visit.form.get(f"scope_{scope.value}") == "yes"]
    made: list[str] = []

    async def work(connection: Connection) -> ChangeResult:
        made.append(await api_keys.create(connection, client=client, scopes=scopes))
        return ChangeResult({"prefix": api_keys.prefix_of(made[0])})

    try:
        done = await change_once(
            visit.parts.context.pool, visit.change("keys.create", {"client": client, "scopes": scopes}), work
        )
    except ValueError as error:
        return await overview(visit, problem=str(error))
    if done.replayed:
        message = f"This form has made the key {done.result['prefix']}… already. If you lost it, revoke it and create another."
        return await overview(visit, problem=message)
    return await overview(visit, created=made[0])


async def revoke(visit: Visit) -> Response:
    """Revoke a key."""
    key_id = visit.request.path_params["id"]

    async def work(connection: Connection) -> ChangeResult:
        if not await api_keys.revoke(connection, key_id=key_id):
            raise Refusal(RefusalReason.NOT_FOUND, "No such key is valid: it may be revoked already.")
        return ChangeResult({"id": str(key_id)})

    await change_once(visit.parts.context.pool, visit.change("keys.revoke", {"id": str(key_id)}), work)
    return visit.redirect("/keys", "revoke")
