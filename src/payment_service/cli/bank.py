"""`bank`: transfers that came, and that went back."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from payment_service import exit_codes
from payment_service.cli.options import Json
from payment_service.config.config import ConfigError

group = typer.Typer(name="bank", help="Payments by bank transfer.", no_args_is_help=True)


@group.command("import")
def import_statement(
    file: Annotated[str, typer.Argument(help="The statement as CSV; - is standard input.")], as_json: Json = False
) -> None:
    """Take the transfers of a bank statement; importing one twice changes nothing. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.commands import bank as code

    taken = code.import_statement(file, as_json=as_json)
    raise typer.Exit(exit_codes.DONE if taken else exit_codes.FAILED)


@group.command("confirm")
def confirm_transfer(
    name: Annotated[str, typer.Argument(metavar="ORDER|PAYMENT|REFERENCE", help="What was paid.")],
    transaction: Annotated[str, typer.Option(help="The bank's name for the transfer; taken once.")],
    amount: Annotated[str, typer.Option(help="What came, a decimal; else what was asked for.")] = "",
    currency: Annotated[str, typer.Option(help="Its currency; else the payment's.")] = "",
    booked: Annotated[str, typer.Option(help="Day of booking, such as 2026-12-25; else today.")] = "",
    as_json: Json = False,
) -> None:
    """Say that the money for a payment has come. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.commands import bank as code

    taken = code.confirm(
        name, transaction=transaction, amount=amount, currency=currency, booked_on=booked, as_json=as_json
    )
    raise typer.Exit(exit_codes.DONE if taken else exit_codes.FAILED)


@group.command("refund")
def end_refund(
    refund_id: Annotated[UUID, typer.Argument(help="The refund's id.")],
    made: Annotated[bool, typer.Option("--made", help="The money was transferred back.")] = False,
    failed: Annotated[str, typer.Option(help="It could not be, or came back: why, in a word.")] = "",
) -> None:
    """Say what became of a transfer back. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.commands import bank as code

    if made == bool(failed):
        raise ConfigError("Say one of the two: --made, or --failed WHY.")
    code.end_refund(refund_id, failure=failed)
