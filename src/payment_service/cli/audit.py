"""`audit`: commands for the audit of changes."""

from __future__ import annotations

from typing import Annotated

import typer

from payment_service.cli.lists import PAGE, Csv, Cursor, Limit, Since, Until
from payment_service.cli.options import Json

group = typer.Typer(name="audit", help="Who changed what, and why: list, verify and export.", no_args_is_help=True)


@group.command("list")
def list_audit(
    by: Annotated[str | None, typer.Option(help="Only this requester: the client of a key, or cli:NAME.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this change, such as refund.")] = None,
    payment: Annotated[str | None, typer.Option(help="Only changes of this payment.")] = None,
    since: Since = "",
    until: Until = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List who changed what, and why, newest first. Needs only DB_DSN."""
    from payment_service.commands import lists as code

    given = {"client": by, "action": action, "payment_id": payment, "limit": limit, "cursor": cursor}
    code.show_list("audit", {**given, **code.read_times(since, until)}, as_json=as_json, as_csv=as_csv)


@group.command("verify")
def verify_audit(
    heads: Annotated[
        str,
        typer.Option(metavar="FILE", help="Logs of the service, with lines `audit_head`; `-` reads standard input."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Compare the audit with its hash chain, and with the heads in the service's logs.

    Without --heads, a chain that the database's owner wrote again looks intact. Exits 6 if something was changed, deleted,
    inserted or reordered. Needs only DB_DSN.
    """
    from payment_service.commands import audit as code

    raise typer.Exit(code.verify(heads, as_json=as_json))


@group.command("export")
def export_audit() -> None:
    """Print all entries as JSON lines, each with its position and hash in the chain. Needs only DB_DSN."""
    from payment_service.commands import audit as code

    code.export()
