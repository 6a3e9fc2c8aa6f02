"""`pages`: log in to the operators' pages, and log people out."""

from __future__ import annotations

from typing import Annotated

import typer

from payment_service.cli.options import changes

group = typer.Typer(name="pages", help="The operators' pages.", no_args_is_help=True)


@group.callback()
def _pages() -> None:
    """Log in to the operators' pages, and log people out."""


@group.command()
@changes
def login(
    role: Annotated[
        list[str] | None, typer.Option(help="viewer, support, finance or operator; repeatable. Default: viewer.")
    ] = None,
    person: Annotated[str, typer.Option(help="The person who logs in, for the audit. Default: you.")] = "",
) -> None:
    """Print a link that logs a person in to the pages once, within 10 minutes. Needs DB_DSN, and ADMIN_URL or ADMIN_PORT."""
    from payment_service.commands import pages as code

    typer.echo(code.login(person, role or ["viewer"]))


@group.command()
@changes
def logout(
    person: Annotated[str, typer.Option(help="The person whose sessions and unused links end.")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="End the sessions and unused links of everybody.")] = False,
) -> None:
    """End sessions of the pages at once. A proxy in front keeps its own. Needs DB_DSN, of the operator's role."""
    from payment_service.commands import pages as code

    code.logout(person, everybody=everybody)
