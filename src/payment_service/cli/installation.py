"""`installation`: commands for the deployment name of this database."""

from __future__ import annotations

import typer

from payment_service.cli.options import Json, Key, Yes, changes

group = typer.Typer(name="installation", help="The deployment name and its Stripe account.", no_args_is_help=True)


@group.command("show")
def show_installation(as_json: Json = False) -> None:
    """Show the deployment name of this database, its account, and when it was claimed. Needs only DB_DSN."""
    from payment_service.commands import installation as code

    code.show(as_json=as_json)


@group.command("move")
@changes
def move_installation(key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Claim the name for this database at the account of STRIPE_SECRET_KEY, from whoever has it. Stop the other
    installation first.
    """
    from payment_service.commands import installation as code

    code.move(key, yes=yes, as_json=as_json)
