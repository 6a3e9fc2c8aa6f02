"""`parked`: commands for items that need attention."""

from __future__ import annotations

from typing import Annotated

import typer

from payment_service.cli.options import Json, Key, Limit, Yes

ParkedName = Annotated[str, typer.Argument(metavar="ID", help="From `parked list`, or PROVIDER:ID.")]

group = typer.Typer(name="parked", help="Items that need attention.", no_args_is_help=True)


@group.command("list")
def list_parked(
    what: Annotated[str, typer.Option(help="operation, event, record, or a kind of a provider; default: all.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List the items that need attention. Needs only DB_DSN."""
    from payment_service.commands import parked as code

    code.show_list(what, limit, as_json=as_json)


@group.command("retry")
def retry_parked(name: ParkedName, key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Retry a parked item. Money never moves twice: the service first checks what the provider has."""
    from payment_service.commands import parked as code

    code.retry(name, key, yes=yes, as_json=as_json)


@group.command("resolve")
def resolve_parked(
    name: ParkedName,
    note: Annotated[str, typer.Option(help="How you know it; stored with your account name.")],
    happened: Annotated[
        str | None,
        typer.Option(metavar="ID", help="It happened: the provider's id of the refund, otherwise of the intent."),
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="It did not happen, and will not.")] = False,
    close: Annotated[
        bool, typer.Option("--close", help="For an event or a provider's item: no action is needed.")
    ] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Record the outcome of a parked item, if the provider confirms it. Needs STRIPE_SECRET_KEY too, except with
    --close.
    """
    from payment_service.commands import parked as code

    code.resolve(name, happened, note, key, never=never, close=close, yes=yes, as_json=as_json)
