"""`attention`: commands for everything that needs an operator."""

from __future__ import annotations

from typing import Annotated

import typer

from payment_service.cli.options import TIME_HELP, Json, Key, Yes, changes

ItemName = Annotated[str, typer.Argument(metavar="ID", help="From `attention list`. If it is ambiguous: OWNER:ID.")]

group = typer.Typer(
    name="attention",
    help="Everything that needs an operator: parked items, quarantine, and items of providers.",
    no_args_is_help=True,
)


@group.command("list")
def list_items(
    what: Annotated[
        str, typer.Option(help="operation, event, record, quarantine, or a kind of a provider; default: all.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Only this reason.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)] = "",
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="Maximum number of items of each kind, up to 1000; default: 100.")
    ] = 100,
    as_json: Json = False,
) -> None:
    """List the items that need attention, each kind oldest first. Needs only DB_DSN."""
    from payment_service.commands import attention as code

    code.show_list(what, reason, since, limit, as_json=as_json)


@group.command("show")
def show_item(name: ItemName, as_json: Json = False) -> None:
    """Show one item, and the content of a quarantined record with masked card numbers. Needs only DB_DSN."""
    from payment_service.commands import attention as code

    code.show(name, as_json=as_json)


@group.command("retry")
@changes
def retry_item(
    name: ItemName,
    any_age: Annotated[
        bool, typer.Option("--any-age", help="For quarantine: accept an order older than ORDER_MAX_AGE.")
    ] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Retry an item. Money never moves twice: the service first checks what the provider has. A quarantined record is
    decided again, as if it had just arrived, and accepted once; an order needs all settings of the service.
    """
    from payment_service.commands import attention as code

    code.retry(name, key, any_age=any_age, yes=yes, as_json=as_json)


@group.command("resolve")
@changes
def resolve_item(
    name: ItemName,
    note: Annotated[str, typer.Option(help="How you know it; stored with your account name.")],
    happened: Annotated[
        str | None,
        typer.Option(metavar="ID", help="It happened: the provider's id of the refund, otherwise of the intent."),
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="It did not happen, and will not.")] = False,
    close: Annotated[
        bool, typer.Option("--close", help="For everything but operations and records: no action is needed.")
    ] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Record the outcome of an item, if the provider confirms it. Needs STRIPE_SECRET_KEY too, except with --close."""
    from payment_service.commands import attention as code

    code.resolve(name, happened, note, key, never=never, close=close, yes=yes, as_json=as_json)
