"""`payments`, `refunds` and `disputes`: lists with filters, whose options `audit list` shares."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from payment_service.cli.options import TIME_HELP, Json

Since = Annotated[str, typer.Option(metavar="TIME", help=f"Created then or later. {TIME_HELP}")]
Until = Annotated[str, typer.Option(metavar="TIME", help="Created before then.")]
Limit = Annotated[int, typer.Option(min=1, max=100, help="Maximum number of entries, up to 100.")]
Cursor = Annotated[str | None, typer.Option(help="Continue after a page: the cursor that it printed.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print all entries of the filter as CSV (RFC 4180).")]
Status = Annotated[str | None, typer.Option(help="Only this status.")]
PAGE: Final = 50


def _group(name: str, help_text: str) -> typer.Typer:
    return typer.Typer(name=name, help=help_text, no_args_is_help=True)


payments = _group("payments", "List payments.")
refunds = _group("refunds", "List refunds.")
disputes = _group("disputes", "List disputes.")
groups: Final = (payments, refunds, disputes)


@payments.command("list")
def list_payments(
    order: Annotated[str | None, typer.Option(help="Only this order.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this user id.")] = None,
    status: Status = None,
    currency: Annotated[str | None, typer.Option(help="Only this currency.")] = None,
    since: Since = "",
    until: Until = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List payments, newest first. Needs only DB_DSN."""
    from payment_service.commands import lists as code

    given = {
        "order_id": order,
        "user_id": user,
        "status": status,
        "currency": currency,
        "limit": limit,
        "cursor": cursor,
    }
    code.show_list("payments", {**given, **code.read_times(since, until)}, as_json=as_json, as_csv=as_csv)


@refunds.command("list")
def list_refunds(
    status: Status = None,
    since: Since = "",
    until: Until = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List refunds, newest first. Needs only DB_DSN."""
    from payment_service.commands import lists as code

    given = {"status": status, "limit": limit, "cursor": cursor}
    code.show_list("refunds", {**given, **code.read_times(since, until)}, as_json=as_json, as_csv=as_csv)


@disputes.command("list")
def list_disputes(
    status: Status = None,
    to_answer: Annotated[
        bool, typer.Option("--to-answer", help="Only those that need a response, the earliest deadline first.")
    ] = False,
    since: Since = "",
    until: Until = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List disputes, newest first. Needs only DB_DSN."""
    from payment_service.commands import lists as code

    given = {"status": status, "to_answer": to_answer, "limit": limit, "cursor": cursor}
    code.show_list("disputes", {**given, **code.read_times(since, until)}, as_json=as_json, as_csv=as_csv)
