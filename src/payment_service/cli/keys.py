"""`keys`: commands for API keys."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import Json, Key
from payment_service.db.api_keys import Scope

group = typer.Typer(name="keys", help="API keys.", no_args_is_help=True)


@group.command("create")
def create_key(
    scope: Annotated[list[Scope], typer.Option(help="A scope of the key; repeatable.")],
    client: Annotated[str, typer.Option(help="Name of the key's owner.")] = "default",
) -> None:
    """Create an API key and print it once: the database has only its hash. Needs only DB_DSN."""
    from payment_service.commands import keys as code

    typer.echo(code.create(client, [str(name) for name in scope]))


@group.command("list")
def list_keys(
    client: Annotated[str, typer.Option(help="Only keys of this client.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Include revoked keys.")] = False,
    as_json: Json = False,
) -> None:
    """List API keys, without their secret parts. Needs only DB_DSN."""
    from payment_service.commands import keys as code

    code.show_list(client, revoked=all_, as_json=as_json)


@group.command("revoke")
def revoke_key(
    key_id: Annotated[UUID | None, typer.Argument(help="The key's id from `keys list`.")] = None,
    client: Annotated[str, typer.Option(help="Revoke all keys of this client instead.")] = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Revoke a key, or all keys of a client. Needs only DB_DSN."""
    from payment_service.commands import keys as code

    code.revoke(key_id, client, key, as_json=as_json)
