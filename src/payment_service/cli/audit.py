"""`audit`: commands for the audit of changes."""

from __future__ import annotations

from typing import Annotated

import typer

from payment_service.cli.options import Json

group = typer.Typer(name="audit", help="Who changed what: verify and export.", no_args_is_help=True)


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
