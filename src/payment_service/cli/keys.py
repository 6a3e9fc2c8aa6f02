"""`keys`: commands for API keys."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import Json, Key, changes
from payment_service.db.api_keys import Scope

group = typer.Typer(name="keys", help="API keys.", no_args_is_help=True)


_Overlap = Annotated[str, typer.Option(metavar="DURATION", help="How long the old key works: 90m, 24h, 7d.")]


@group.command("create")
@changes
def create_key(
    scope: Annotated[list[Scope], typer.Option(help="A scope of the key; repeatable.")],
    client: Annotated[str, typer.Option(help="Name of the key's owner.")] = "default",
    expires: Annotated[str, typer.Option(metavar="DURATION", help="When the key ends: 12h, 90d. Default: never.")] = "",
    network: Annotated[
        list[str] | None, typer.Option(help="A network that may use the key, such as 10.0.1.0/24; repeatable.")
    ] = None,
    requests_per_second: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Requests per second, for each process of the service.")
    ] = None,
    refunds_per_day: Annotated[int | None, typer.Option(min=0, max=1_000_000, help="Refunds per day, UTC.")] = None,
    refund_amount_per_day: Annotated[
        list[str] | None,
        typer.Option(metavar="CURRENCY:AMOUNT", help="Sum of refunds per day, UTC, such as eur:500.00; repeatable."),
    ] = None,
    refund_amount_max: Annotated[
        list[str] | None,
        typer.Option(metavar="CURRENCY:AMOUNT", help="The largest refund, such as eur:100.00; repeatable."),
    ] = None,
) -> None:
    """Create an API key and print it once: the database has only its hash. Needs only DB_DSN, of the operator's role."""
    from payment_service.commands import keys as code

    limits = code.read_limits(
        network or [], requests_per_second, refunds_per_day, refund_amount_per_day or [], refund_amount_max or []
    )
    typer.echo(code.create(client, [str(name) for name in scope], limits, expires))


@group.command("rotate")
@changes
def rotate_key(
    key_id: Annotated[UUID, typer.Argument(help="The key's id from `keys list`.")],
    overlap: _Overlap = "24h",
) -> None:
    """Create a key with the same client, scopes, limits and lifetime, and print it once. The old key ends after the
    overlap. Needs only DB_DSN, of the operator's role.
    """
    from payment_service.commands import keys as code

    typer.echo(code.rotate(key_id, overlap))


@group.command("list")
def list_keys(
    client: Annotated[str, typer.Option(help="Only keys of this client.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Include revoked and expired keys.")] = False,
    as_json: Json = False,
) -> None:
    """List API keys, without their secret parts. Needs only DB_DSN."""
    from payment_service.commands import keys as code

    code.show_list(client, ended=all_, as_json=as_json)


@group.command("revoke")
@changes
def revoke_key(
    key_id: Annotated[UUID | None, typer.Argument(help="The key's id from `keys list`.")] = None,
    client: Annotated[str, typer.Option(help="Revoke all keys of this client instead.")] = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Revoke a key, or all keys of a client. Needs only DB_DSN, of the operator's role."""
    from payment_service.commands import keys as code

    code.revoke(key_id, client, key, as_json=as_json)
