"""`outbox`: records on their way to Kafka."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import TIME_HELP, Json, Key

group = typer.Typer(name="outbox", help="Records on their way to Kafka.", no_args_is_help=True)


@group.command("status")
def outbox_status(as_json: Json = False) -> None:
    """Show how many records wait to be published, since when and why, and who publishes. Needs DB_DSN alone."""
    from payment_service.commands import outbox as code

    code.show_status(as_json=as_json)


@group.command("republish")
def republish(
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)],
    payment: Annotated[UUID | None, typer.Option(help="Of this payment alone.")] = None,
    topic: Annotated[str | None, typer.Option(help="Of this topic alone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many it would be; change nothing.")] = False,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Publish again what was published since a time, under the same ce_id: consumers notice. Needs DB_DSN alone."""
    from payment_service.commands import outbox as code

    code.republish(since, payment, topic, key, dry_run=dry_run, as_json=as_json)
