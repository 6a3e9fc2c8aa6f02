"""`keys`: giving and taking keys of the API."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import Json, Key
from payment_service.db.api_keys import Scope

group = typer.Typer(name="keys", help="Keys of the API.", no_args_is_help=True)


@group.command("create")
def create_key(
    scope: Annotated[list[Scope], typer.Option(help="What the key allows; repeatable.")],
    client: Annotated[str, typer.Option(help="Whose key it is, for people.")] = "default",
) -> None:
    """Make a key of the API and print it, this once: only its hash is stored. Needs DB_DSN alone."""
    from payment_service.commands import keys as code

    typer.echo(code.create(client, [str(name) for name in scope]))


@group.command("list")
def list_keys(
    client: Annotated[str, typer.Option(help="Of this client alone.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Those that are revoked too.")] = False,
    as_json: Json = False,
) -> None:
    """List keys of the API, never what opens them. Needs DB_DSN alone."""
    from payment_service.commands import keys as code

    code.show_list(client, revoked=all_, as_json=as_json)


@group.command("revoke")
def revoke_key(
    key_id: Annotated[UUID | None, typer.Argument(help="The key's id, as `keys list` shows it.")] = None,
    client: Annotated[str, typer.Option(help="All keys of this client instead.")] = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Revoke a key, or all keys of a client. Needs DB_DSN alone."""
    from payment_service.commands import keys as code

    code.revoke(key_id, client, key, as_json=as_json)
