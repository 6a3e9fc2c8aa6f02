"""`parked`: what waits for a person, and letting it go on."""

from __future__ import annotations

from typing import Annotated

import typer

from payment_service.cli.options import Json, Key, Limit, Yes

ParkedName = Annotated[str, typer.Argument(metavar="ID", help="As `parked list` shows it, or PROVIDER:ID.")]

group = typer.Typer(name="parked", help="What waits for a person.", no_args_is_help=True)


@group.command("list")
def list_parked(
    what: Annotated[str, typer.Option(help="operation, event, record or transfer; left out: all.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List what waits for a person. Needs DB_DSN alone."""
    from payment_service.commands import parked as code

    code.show_list(what, limit, as_json=as_json)


@group.command("retry")
def retry_parked(name: ParkedName, key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Let it be tried again. Money never moves twice by it: what may have happened is looked for first."""
    from payment_service.commands import parked as code

    code.retry(name, key, yes=yes, as_json=as_json)


@group.command("resolve")
def resolve_parked(
    name: ParkedName,
    note: Annotated[str, typer.Option(help="How you know it; kept with your name.")],
    happened: Annotated[
        str | None,
        typer.Option(metavar="ID", help="It happened: the provider's id of the refund, or else of the intent."),
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="It never happened, and won't.")] = False,
    close: Annotated[bool, typer.Option("--close", help="Of an event or a transfer: it needs nothing more.")] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End it by what you know to be true, if the provider shows the same. Needs STRIPE_SECRET_KEY too, but for --close."""
    from payment_service.commands import parked as code

    code.resolve(name, happened, note, key, never=never, close=close, yes=yes, as_json=as_json)
