"""Rows of `refunds` to and from the domain's Refund."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from payment_service.db.payments import SaveConflict
from payment_service.db.queries import load
from payment_service.domain.payment import FactKey
from payment_service.domain.refund import Refund, RefundStatus
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection

_SQL = load(__package__, "refunds.sql")

# What stands for the fingerprint of a refund that the provider told of, and that nobody is known to have asked for.
TAKEN_IN: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asked for a refund, under which key and for exactly what. `fingerprint`: SHA-256 of the request."""

    client: str
    idempotency_key: str
    fingerprint: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


async def of_payments(connection: Connection, payment_ids: Iterable[UUID]) -> dict[UUID, dict[UUID, Refund]]:
    """Read all refunds of payments that are locked, by payment and id."""
    wanted = list(payment_ids)
    found: dict[UUID, dict[UUID, Refund]] = {payment_id: {} for payment_id in wanted}
    for row in await connection.fetch(_SQL.of_payments, wanted):
        found[row["payment_id"]][row["id"]] = _from_row(row)
    return found


async def save(connection: Connection, refunds: Sequence[tuple[Refund, str, Asked | None]]) -> None:
    """Write (refund, provider, who asked where it is new) of payments that are locked. Raises SaveConflict."""
    rows = await connection.fetch(
        _SQL.save,
        [r.id for r, _, _ in refunds],
        [r.payment_id for r, _, _ in refunds],
        [provider for _, provider, _ in refunds],
        [r.provider_refund_id for r, _, _ in refunds],
        [r.amount.minor for r, _, _ in refunds],
        [r.amount.currency.code for r, _, _ in refunds],
        [r.status.value for r, _, _ in refunds],
        [r.reason for r, _, _ in refunds],
        [r.failure for r, _, _ in refunds],
        [r.foreign for r, _, _ in refunds],
        # Of a refund that is there already, these are not written; they only must not trip the constraint.
        [_client(r, asked) for r, _, asked in refunds],
        [asked.idempotency_key if asked else None for _, _, asked in refunds],
        [asked.fingerprint if asked else None for _, _, asked in refunds],
        [json.dumps(dict(asked.metadata)) if asked else "{}" for _, _, asked in refunds],
        [r.key.rank if r.key else None for r, _, _ in refunds],
        [r.key.at if r.key else None for r, _, _ in refunds],
        [r.key.precedence if r.key else None for r, _, _ in refunds],
        [r.key.source if r.key else None for r, _, _ in refunds],
    )
    if len(rows) != len(refunds):
        message = f"{len(refunds) - len(rows)} of {len(refunds)} refunds were not as they had been read"
        raise SaveConflict(message)


async def fingerprint_of(connection: Connection, refund_id: UUID) -> bytes | None:
    """The fingerprint under which a refund was asked for, or TAKEN_IN; None where there is no such refund."""
    row = await connection.fetchrow(_SQL.fingerprint_of, refund_id)
    return bytes(row["fingerprint"] or TAKEN_IN) if row else None


def _client(refund: Refund, asked: Asked | None) -> str | None:
    if asked is not None:
        return asked.client
    return None if refund.foreign else ""


def _from_row(row: Any) -> Refund:
    key = None
    if row["fact_rank"] is not None:
        key = FactKey(row["fact_rank"], row["fact_at"], row["fact_precedence"], row["fact_source"])
    return Refund(
        id=row["id"],
        payment_id=row["payment_id"],
        provider_refund_id=row["provider_refund_id"],
        amount=Money(row["amount"], currency(row["currency"])),
        status=RefundStatus(row["status"]),
        reason=row["reason"],
        foreign=row["made_by_hand"],
        failure=row["failure"],
        key=key,
    )
