"""`bank`: commands for bank transfers, incoming and outgoing."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service import exit_codes
from payment_service.cli.options import changes
from payment_service.config.config import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

group = typer.Typer(name="bank", help="Payments by bank transfer.", no_args_is_help=True)


@group.command("import")
def import_statement(
    file: Annotated[str, typer.Argument(help="The statement as CSV; - reads standard input.")], as_json: Json = False
) -> None:
    """Import the transfers of a bank statement. Importing it again changes nothing. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.bank_transfer import commands as code

    taken = code.import_statement(file, as_json=as_json)
    raise typer.Exit(exit_codes.DONE if taken else exit_codes.FAILED)


@group.command("confirm")
@changes
def confirm_transfer(
    name: Annotated[str, typer.Argument(metavar="ORDER|PAYMENT|REFERENCE", help="The payment that was paid.")],
    transaction: Annotated[str, typer.Option(help="The bank's id of the transfer; it counts once.")],
    amount: Annotated[str, typer.Option(help="Amount received, as a decimal; default: the amount due.")] = "",
    currency: Annotated[str, typer.Option(help="Its currency; default: the payment's.")] = "",
    booked: Annotated[str, typer.Option(help="Booking date, such as 2026-12-25; default: today.")] = "",
    as_json: Json = False,
) -> None:
    """Confirm that the money for a payment has arrived. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.bank_transfer import commands as code

    taken = code.confirm(
        name, transaction=transaction, amount=amount, currency=currency, booked_on=booked, as_json=as_json
    )
    raise typer.Exit(exit_codes.DONE if taken else exit_codes.FAILED)


@group.command("refund")
@changes
def end_refund(
    refund_id: Annotated[UUID, typer.Argument(help="The refund's id.")],
    made: Annotated[bool, typer.Option("--made", help="The money was transferred to the customer.")] = False,
    failed: Annotated[str, typer.Option(help="The transfer failed or was returned: a reason code.")] = "",
) -> None:
    """Record the result of a refund by transfer. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.bank_transfer import commands as code

    if made == bool(failed):
        raise ConfigError("Use either --made or --failed WHY.")
    code.end_refund(refund_id, failure=failed)
