"""What the command line shows beyond the resources of the API (`contracts/api.py`): the contract of `--json`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from payment_service.contracts.api import Dispute, Payment, Refund
from payment_service.contracts.timeline import TimelineEntry


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


class StatementLine(BaseModel):
    """What became of a transfer."""

    line: int | None = Field(
        None, description="Its number in the file, from 1; null for one that was confirmed by hand."
    )
    transaction_id: str | None = Field(None, description="The bank's.")
    became: str = Field(
        description="paid; parked (names a payment and is not what that asked for); unmatched (bears no reference of ours); "
        "known (taken before); contradicted (taken before with another amount, or for another payment); outgoing; bad (can't be read)."
    )
    payment_id: UUID | None = None
    reference: str | None = None
    reason: str = Field("", description="Why it was parked or could not be taken.")


class Statement(BaseModel):
    """A bank statement, line by line."""

    data: list[StatementLine]


class Case(BaseModel):
    """Everything known of one payment at one moment."""

    payment: Payment
    refunds: list[Refund] = Field(description="The newest first.")
    disputes: list[Dispute] = Field(description="The newest first.")
    timeline: list[TimelineEntry] = Field(description="What happened, in order.")


class Cases(BaseModel):
    """The payments of an order, the oldest first, or the one that was named."""

    data: list[Case]


class Parked(BaseModel):
    """Something that waits for a person. Nothing else waits for it but later calls or records of the same payment."""

    what: str = Field(
        description="operation (a call to the provider), event (of the provider), record (on its way to Kafka), transfer "
        "(money that bears no reference of ours)."
    )
    id: str = Field(description="Its name for `parked retry` and `parked resolve`.")
    payment_id: UUID | None
    subject: str = Field(description="The kind of the call, the type of the event, the topic, or the amount.")
    reason: str
    detail: str
    provider_request_id: str = Field(description="The provider's name for its last answer; empty where there is none.")
    since: datetime


class ParkedList(BaseModel):
    """What waits for a person, each kind the oldest first."""

    data: list[Parked]
    has_more: bool


class Released(BaseModel):
    """What became of something that was parked."""

    what: str
    id: str
    payment_id: UUID | None
    done: str = Field(
        description="sent_anew (under a new key: nothing existed under the old one), read_first (looked for before it is sent), "
        "tried_again, closed, happened, never_happened."
    )


class RefusingTopic(BaseModel):
    """A topic that takes nothing. It is tried every 5 s, and what waits for it goes on by itself."""

    topic: str
    waiting: int = Field(description="Payments whose next record goes there.")
    since: datetime


class OutboxStatus(BaseModel):
    """How publishing stands."""

    pending: int = Field(description="Records that are not published yet, or are to be published again.")
    oldest_at: datetime | None = Field(description="When the first of them was written.")
    lag_s: int = Field(description="How long ago that was, in seconds; 0 where nothing waits.")
    refused_records: int = Field(description="Payments whose next record is refused itself: see `parked list`.")
    refusing_topics: list[RefusingTopic]
    leader: UUID | None = Field(description="Which relay publishes; null: none.")
    lease_epoch: int = Field(description="How often the lease has been taken.")


class Republished(BaseModel):
    """What goes out again."""

    records: int
    dry_run: bool = Field(description="True: it would, and nothing was changed.")


class Quarantined(BaseModel):
    """A record, or a webhook, that could not be accepted."""

    id: UUID
    source: str = Field(description="kafka, webhook.")
    topic: str | None = Field(description="Of a webhook: its provider.")
    partition: int | None
    offset: int | None
    reason: str = Field(description="A code: of a record its `dlq_reason`.")
    detail: str
    recorded_at: datetime | None = Field(description="The record's own time.")
    created_at: datetime
    replayed_at: datetime | None = Field(description="When it was decided again and accepted; null: it was not.")


class QuarantinedContent(Quarantined):
    """The same with what it holds, as text: card numbers masked, bytes that are no UTF-8 as \\xNN."""

    key: str | None
    value: str | None
    value_bytes: int = Field(description="How long the value is, in bytes.")
    headers: list[tuple[str, str | None]]


class QuarantinedList(BaseModel):
    """What was set aside, the newest first."""

    data: list[Quarantined]
    has_more: bool


class Replayed(BaseModel):
    """What became of a row that was decided again."""

    id: UUID
    payment_id: UUID | None
    done: str = Field(description="accepted, accepted_before (nothing was done now).")
