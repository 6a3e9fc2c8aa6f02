"""Compare the contents of an outbox record with the rows that it describes. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from payment_service.domain.differences import Difference, Sides
from payment_service.domain.ids import event_record_id
from payment_service_events.currency import UnknownCurrency, currency
from payment_service_events.money import Money
from payment_service_events.published_events import (
    PaymentAuthorized,
    PaymentCanceled,
    PaymentFailed,
    PaymentInitiated,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentRefundInitiated,
    PaymentSucceeded,
)
from payment_service_events.reading import MalformedRecord, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payment_service_events.event import Event


def compare_contents(row: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield the differences between a record and its rows (the statement `contents` of `db/consistency_records.sql`)."""
    try:
        event = read(row["type"], row["payload"], [(name, text) for name, text in json.loads(row["headers"])])
        unit = currency(row["currency"])
    except (MalformedRecord, UnknownCurrency, ValueError, TypeError) as error:
        yield _difference(row, "record_unreadable", str(error))
        return
    # The row of a recovered record names the id, since the cause was lost with the database (`db/recovery.sql`).
    recovered = row["cause"].endswith(f":{row['id']}:recovered")
    if not recovered and row["id"] != event_record_id(row["aggregateid"], row["type"], row["cause"]):
        yield _difference(row, "record_id_differs", f"the id does not follow from the cause {row['cause']}")
    wrong = [name for name, found, expected in _envelope(row, event) if found != expected]
    if wrong:
        yield _difference(row, "record_envelope_differs", f"{', '.join(wrong)} differ from the rows")
    wrong = [
        f"{name} is {found}, the rows have {'no such refund' if minor is None else Money(minor, unit)}"
        for name, found, minor, code in _amounts(row, event)
        if minor is None or (found.minor, found.currency.code) != (minor, code)
    ]
    if wrong:
        yield _difference(row, "record_amount_differs", "; ".join(wrong))


def _envelope(row: Mapping[str, Any], event: Event) -> Iterator[tuple[str, object, object]]:
    yield "ce_id", event.id, str(row["id"])
    yield "ce_sequence", event.sequence, row["sequence"]
    yield "ce_attempt", event.attempt, row["attempt"]
    yield "key", row["key"], str(row["aggregateid"]).encode()
    yield "payment_id", event.payment_id, str(row["aggregateid"])
    yield "order_id", event.order_id, row["order_id"]
    yield "user_id", event.user_id, row["user_id"]


def _amounts(row: Mapping[str, Any], event: Event) -> Iterator[tuple[str, Money, int | None, str]]:
    """Yield each amount of the event with its name, and the amount and currency that the rows have.

    Sums change with every event, so only the last event of a kind is compared with them.
    """
    code = row["currency"]
    match event:
        case PaymentSucceeded():
            yield "amount_ordered", event.amount_ordered, row["amount"], code
            if row["last"]:
                yield "amount", event.amount, row["captured"], code
        case PaymentInitiated() | PaymentAuthorized() | PaymentFailed() | PaymentCanceled():
            yield "amount", event.amount, row["amount"], code
        case PaymentRefundInitiated():
            yield "amount", event.amount, row["refund_amount"], row["refund_currency"]
        case PaymentRefunded() | PaymentRefundFailed():
            yield "amount", event.amount, row["refund_amount"], row["refund_currency"]
            if row["last"]:
                yield "amount_refunded", event.amount_refunded, row["refunded"], code
        case _:
            return


def _difference(row: Mapping[str, Any], code: str, detail: str) -> Difference:
    return Difference(
        sides=Sides.ROWS,
        code=code,
        subject=str(row["id"]),
        payment_id=row["aggregateid"],
        detail=f"{row['type']} number {row['sequence']}: {detail}",
    )
