"""`webhooks`: commands for stored events of the providers."""

from __future__ import annotations

from typing import Annotated

import typer

from payment_service.cli.options import TIME_HELP, Json, Key, changes

group = typer.Typer(name="webhooks", help="Stored events of the providers.", no_args_is_help=True)


@group.command("replay")
@changes
def replay(
    names: Annotated[list[str] | None, typer.Option("--id", metavar="EVENT", help="An event; repeatable.")] = None,
    since: Annotated[str, typer.Option(metavar="TIME", help=f"All events that occurred since then. {TIME_HELP}")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would change; change nothing.")] = False,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Apply stored events again. An event that was applied before changes nothing; one that was parked or ignored is
    applied if it can be applied now. Needs DB_DSN and STRIPE_SECRET_KEY.
    """
    from payment_service.commands import webhooks as code

    code.replay(names or [], since, key, dry_run=dry_run, as_json=as_json)
