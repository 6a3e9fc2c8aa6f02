"""`quarantine`: what could not be accepted, and deciding it again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import TIME_HELP, Json, Key, Limit, Yes

QuarantineName = Annotated[UUID, typer.Argument(metavar="ID", help="As `quarantine list` shows it.")]

group = typer.Typer(name="quarantine", help="What could not be accepted.", no_args_is_help=True)


@group.command("list")
def list_quarantine(
    reason: Annotated[str, typer.Option(help="Of this reason alone.")] = "",
    source: Annotated[str, typer.Option(help="kafka or webhook.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)] = "",
    limit: Limit = 100,
    all_: Annotated[bool, typer.Option("--all", help="Those too that were accepted in the end.")] = False,
    as_json: Json = False,
) -> None:
    """List what could not be accepted, the newest first. Needs DB_DSN alone."""
    from payment_service.commands import quarantine as code

    code.show_list(reason, source, since, limit, replayed=all_, as_json=as_json)


@group.command("show")
def show_quarantined(name: QuarantineName, as_json: Json = False) -> None:
    """Show what one holds; card numbers are masked. Needs DB_DSN alone."""
    from payment_service.commands import quarantine as code

    code.show(name, as_json=as_json)


@group.command("replay")
def replay(
    name: QuarantineName,
    any_age: Annotated[bool, typer.Option("--any-age", help="Even an order older than ORDER_MAX_AGE.")] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Decide one again, as if it came now; accepted once. Needs all settings of the service: an order is taken by them."""
    from payment_service.commands import quarantine as code

    code.replay(name, key, any_age=any_age, yes=yes, as_json=as_json)
