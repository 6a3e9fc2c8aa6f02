"""What the command line shows beyond the resources of the API (`contracts/api.py`): the contract of `--json`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from payment_service.contracts.api import Dispute, Payment, PaymentEvent, Refund


class ApiKey(BaseModel):
    """A key of the API, without what opens it."""

    id: UUID
    client: str = Field(description="Whose it is; idempotency keys belong to the client, not to one of its keys.")
    prefix: str = Field(description="How it begins, to tell keys apart.")
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None


class ApiKeys(BaseModel):
    """Keys, the oldest first."""

    data: list[ApiKey]


class Operation(BaseModel):
    """A call to the provider: what was asked, how often, and what came of it."""

    id: UUID
    kind: str = Field(description="create, capture, cancel, refund, retrieve.")
    state: str = Field(description="due, claimed, done, refused, parked (waits for a person).")
    cause: str = Field(description="What asked for it.")
    outcome: str | None = Field(description="What the last attempt came to.")
    outcome_code: str | None
    outcome_detail: str | None
    attempt: int = Field(description="How often it was claimed.")
    idempotency_key: str = Field(description="Under which the provider does it once.")
    provider_request_id: str | None = Field(description="The provider's name for the last answer.")
    created_at: datetime
    finished_at: datetime | None


class Change(BaseModel):
    """A change of a payment, or a record that announced one."""

    sequence: int | None = Field(description="`ce_sequence` of the record; null for what was not announced.")
    topic: str | None
    from_status: str
    to_status: str
    cause: str
    published: bool | None = Field(
        description="Whether the broker has acknowledged it; null for what was not announced."
    )
    occurred_at: datetime | None = Field(description="The provider's clock.")
    created_at: datetime


class Case(BaseModel):
    """Everything known of one payment, each list in order of time."""

    payment: Payment
    refunds: list[Refund]
    disputes: list[Dispute]
    operations: list[Operation]
    events: list[PaymentEvent]
    changes: list[Change]


class Cases(BaseModel):
    """The payments of an order, the oldest first, or the one that was named."""

    data: list[Case]
