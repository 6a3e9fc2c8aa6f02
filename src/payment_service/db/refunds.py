"""Rows of `refunds`, as the Refund of the domain."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from payment_service.db.payments import SaveConflict, to_seconds, to_time
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

# The fingerprint of a refund that came from the provider, without a known request.
NO_FINGERPRINT: Final = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """The request for a refund: client, idempotency key and SHA-256 `fingerprint`."""

    client: str
    idempotency_key: str
    fingerprint: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


async def of_payments(connection: Connection, payment_ids: Iterable[UUID]) -> dict[UUID, dict[UUID, Refund]]:
    """Return all refunds of locked payments, by payment and id."""
    wanted = list(payment_ids)
    found: dict[UUID, dict[UUID, Refund]] = {payment_id: {} for payment_id in wanted}
    for row in await connection.fetch(_SQL.of_payments, wanted):
        found[row["payment_id"]][row["id"]] = _from_row(row)
    return found


async def save(connection: Connection, refunds: Sequence[tuple[Refund, str, Requester | None]]) -> None:
    """Write (refund, provider, requester of a new refund) of locked payments. Raises SaveConflict."""
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
        [r.bank_reference for r, _, _ in refunds],
        [to_time(r.expected_at) for r, _, _ in refunds],
        [r.external for r, _, _ in refunds],
        # An existing refund keeps its request. These values only have to satisfy the constraint.
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
        message = f"{len(refunds) - len(rows)} of {len(refunds)} refunds changed although their payments were locked"
        raise SaveConflict(message)


async def fingerprint_of(connection: Connection, refund_id: UUID) -> bytes | None:
    """Return the fingerprint of the request for a refund, or NO_FINGERPRINT; None if there is no such refund."""
    row = await connection.fetchrow(_SQL.fingerprint_of, refund_id)
    return bytes(row["fingerprint"] or NO_FINGERPRINT) if row else None


def _client(refund: Refund, asked: Requester | None) -> str | None:
    if asked is not None:
        return asked.client
    return None if refund.external else ""


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
        external=row["external"],
        failure=row["failure_code"],
        bank_reference=row["bank_reference"],
        expected_at=to_seconds(row["expected_at"]),
        key=key,
    )
