"""`approvals`: refunds above a limit, which a second person decides."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service.cli.options import Json, Yes, changes

group = typer.Typer(name="approvals", help="Refunds above a limit: list and decide them.", no_args_is_help=True)

_Id = Annotated[UUID, typer.Argument(metavar="ID", help="The id from `approvals list`.")]


@group.command("list")
def list_approvals(as_json: Json = False) -> None:
    """List the refunds that wait for a second person, the earliest deadline first. Needs only DB_DSN."""
    from payment_service.commands import approvals as code

    code.show_list(as_json=as_json)


@group.command()
@changes
def approve(approval: _Id, yes: Yes = False) -> None:
    """Approve a refund that another person or an API key requested, and make it. Needs DB_DSN, of the operator's role."""
    from payment_service.commands import approvals as code

    code.approve(approval, yes=yes)


@group.command()
@changes
def decline(approval: _Id) -> None:
    """Decline a requested refund, or withdraw your own. Needs DB_DSN, of the operator's role."""
    from payment_service.commands import approvals as code

    code.decline(approval)
