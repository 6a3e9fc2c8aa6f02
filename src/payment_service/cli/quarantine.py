"""`quarantine`: commands for records and webhooks that could not be accepted."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import TIME_HELP, Json, Key, Limit, Yes

QuarantineName = Annotated[UUID, typer.Argument(metavar="ID", help="From `quarantine list`.")]

group = typer.Typer(name="quarantine", help="Records and webhooks that could not be accepted.", no_args_is_help=True)


@group.command("list")
def list_quarantine(
    reason: Annotated[str, typer.Option(help="Only this reason.")] = "",
    source: Annotated[str, typer.Option(help="kafka or webhook.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)] = "",
    limit: Limit = 100,
    all_: Annotated[bool, typer.Option("--all", help="Include those accepted by a replay.")] = False,
    as_json: Json = False,
) -> None:
    """List quarantined records and webhooks, newest first. Needs only DB_DSN."""
    from payment_service.commands import quarantine as code

    code.show_list(reason, source, since, limit, replayed=all_, as_json=as_json)


@group.command("show")
def show_quarantined(name: QuarantineName, as_json: Json = False) -> None:
    """Show the content of one, with masked card numbers. Needs only DB_DSN."""
    from payment_service.commands import quarantine as code

    code.show(name, as_json=as_json)


@group.command("replay")
def replay(
    name: QuarantineName,
    any_age: Annotated[bool, typer.Option("--any-age", help="Accept an order older than ORDER_MAX_AGE.")] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Process one again as if it had just arrived; it is accepted once. Needs all settings of the service, which apply
    to an order.
    """
    from payment_service.commands import quarantine as code

    code.replay(name, key, any_age=any_age, yes=yes, as_json=as_json)
