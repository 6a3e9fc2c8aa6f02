"""`outbox`: commands for records to be published."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import TIME_HELP, Json, Key, changes

group = typer.Typer(name="outbox", help="Records to be published to Kafka.", no_args_is_help=True)


@group.command("status")
def outbox_status(as_json: Json = False) -> None:
    """Show how many records wait to be published, since when and why, and which relay publishes. Needs only DB_DSN."""
    from payment_service.commands import outbox as code

    code.show_status(as_json=as_json)


@group.command("republish")
@changes
def republish(
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)],
    payment: Annotated[UUID | None, typer.Option(help="Only records of this payment.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only records of this topic.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the number of records; change nothing.")] = False,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Publish again all records since a time, with the same ce_id, so that consumers can ignore them. Needs only
    DB_DSN.
    """
    from payment_service.commands import outbox as code

    code.republish(since, payment, topic, key, dry_run=dry_run, as_json=as_json)
