"""Output of `--json` beyond the resources of the API (`contracts/api.py`). These models are its contract."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from payment_service.contracts.api import Dispute, Payment, PaymentAttempt, Refund
from payment_service.contracts.timeline import TimelineEntry


class ApiKey(BaseModel):
    """An API key, without its secret part."""

    id: UUID
    client: str = Field(description="Owner of the key. Idempotency keys belong to the client, not to one of its keys.")
    prefix: str = Field(description="First characters of the key, to tell keys apart.")
    scopes: list[str]
    networks: list[str] = Field(description="Networks that may use the key; empty: every address.")
    requests_per_second: int | None = Field(description="Per process of the service; null: no limit.")
    refunds_per_day: int | None = Field(description="Refunds per day, UTC; null: no limit.")
    refund_amounts_per_day: dict[str, int] = Field(
        description="Sum of refunds per day, UTC, in minor units by currency; empty: no limit, else no other currency."
    )
    refund_amounts_max: dict[str, int] = Field(
        description="The largest refund, in minor units by currency; empty: no limit, else no other currency."
    )
    created_at: datetime
    expires_at: datetime | None = Field(description="Time when the key ends; null: never.")
    last_used_at: datetime | None = Field(description="Accurate to a minute or two; null: never used.")
    revoked_at: datetime | None


class ApiKeys(BaseModel):
    """API keys, oldest first."""

    data: list[ApiKey]


class ApprovalRequest(BaseModel):
    """A refund above a limit, which waits for a second person."""

    id: UUID
    payment_id: UUID
    order_id: str
    amount: str = Field(description="Decimal text.")
    currency: str
    reason: str
    requested_by: str = Field(description="The person, or `API client` and its name.")
    requested_at: datetime
    expires_at: datetime = Field(description="Nobody can approve it from then on.")


class ApprovalRequests(BaseModel):
    """Refunds that wait for a second person, the earliest deadline first."""

    data: list[ApprovalRequest]


class AuditFault(BaseModel):
    """A damaged place of the audit."""

    code: str = Field(
        description="changed, deleted, inserted, link_missing, backdated, head_missing or head_differs.",
    )
    position: int | None = Field(description="Position in the chain; null for an entry outside of it.")
    audit_id: int | None = Field(description="Id of the entry in `audit`; null if it is unknown.")
    detail: str


class AuditVerification(BaseModel):
    """The comparison of the audit with its hash chain."""

    data: list[AuditFault] = Field(description="Up to 1,000 faults; empty: none.")
    position: int = Field(description="Position of the last link.")
    hash: str = Field(description="Hash of the last link.")
    heads: int = Field(description="Number of published heads that the chain was compared with.")
    waiting: int = Field(description="Entries that the next seal covers.")


class InstallationState(BaseModel):
    """The deployment name of a database, and its claim at the provider's account."""

    id: UUID = Field(description="Random; in the metadata of created intents.")
    deployment: str
    account: str | None = Field(description="Id of the account; null until a start has read it.")
    mode: str | None = Field(description="live or test, by the key of the first start; null before.")
    created_at: datetime
    claimed_at: datetime | None = Field(description="Time when the account first confirmed the claim; null: never.")


class Case(BaseModel):
    """All data of one payment, from one snapshot."""

    payment: Payment
    attempts: list[PaymentAttempt] = Field(description="Attempts of the customer to pay, newest first.")
    refunds: list[Refund] = Field(description="Newest first.")
    disputes: list[Dispute] = Field(description="Newest first.")
    timeline: list[TimelineEntry] = Field(description="All events in order.")


class Cases(BaseModel):
    """The payments of an order, oldest first, or one payment by its id."""

    data: list[Case]


class Attention(BaseModel):
    """An item that needs an operator. Only later calls or records of the same payment wait for it."""

    what: str = Field(
        description="operation (a call to the provider), event (of the provider), record (for Kafka), quarantine (a record or "
        "webhook that was not accepted), or a kind of a provider's own items."
    )
    id: str = Field(description="Id for `attention show`, `attention retry` and `attention resolve`.")
    owner: str = Field(
        description="Tells items with one id apart, as OWNER:ID: the provider, the account of a transfer, or the kind."
    )
    payment_id: UUID | None
    subject: str = Field(description="The operation's kind, the event's type, the topic, the provider, or the amount.")
    reason: str
    detail: str
    provider_request_id: str = Field(description="The provider's request id of the last response; empty if none.")
    since: datetime


class BalanceWait(BaseModel):
    """A refund that is retried until our balance at the provider covers it."""

    id: UUID
    payment_id: UUID
    amount: str
    currency: str
    since: datetime
    next_try_at: datetime


class AttentionList(BaseModel):
    """Everything that needs attention, each kind oldest first."""

    data: list[Attention]
    has_more: bool = Field(description="True: at least one kind has more items than the limit.")
    waiting_for_balance: list[BalanceWait] = Field(
        description="Refunds that need no operator, but a higher balance at the provider. Oldest first; empty with a filter."
    )


class QuarantinedContent(BaseModel):
    """A quarantined record or webhook with its content as text. Card numbers are masked; bytes that are not UTF-8
    appear as \\xNN.
    """

    source: str = Field(description="kafka or webhook.")
    topic: str | None = Field(description="The provider of a webhook.")
    partition: int | None
    offset: int | None
    recorded_at: datetime | None = Field(description="Timestamp of the record.")
    replayed_at: datetime | None = Field(description="Time when a retry was accepted; null: none.")
    closed_at: datetime | None = Field(description="Time when an operator closed it; null: not closed.")
    key: str | None
    value: str | None
    value_bytes: int = Field(description="Size of the value in bytes.")
    headers: list[tuple[str, str | None]]


class AttentionDetail(Attention):
    """An item, with its content if it is in quarantine."""

    content: QuarantinedContent | None = Field(
        description="The record or webhook in quarantine; null for another kind."
    )


class AttentionResult(BaseModel):
    """The result of a retry or a resolution."""

    what: str
    id: str
    payment_id: UUID | None
    done: str = Field(
        description="sent_anew (with a new key: nothing existed under the old one), read_first (reconciled before it is sent), "
        "tried_again, closed, happened, never_happened; from quarantine: accepted, or accepted_before (nothing was done now)."
    )


class RefusingTopic(BaseModel):
    """A topic that refuses records. It is probed every 5 s; its records are published once it accepts them."""

    topic: str
    waiting: int = Field(description="Payments whose next record goes to this topic.")
    since: datetime


class OutboxStatus(BaseModel):
    """The state of publishing."""

    pending: int = Field(description="Records to be published, including those to be republished.")
    oldest_at: datetime | None = Field(description="Time when the oldest of them was written.")
    lag_s: int = Field(description="Age of the oldest in seconds; 0 if none.")
    refused_records: int = Field(description="Payments whose next record is itself refused: see `attention list`.")
    refusing_topics: list[RefusingTopic]
    leader: UUID | None = Field(description="The relay that publishes; null: none.")
    lease_epoch: int = Field(description="Number of times the lease was taken.")


class Republished(BaseModel):
    """Records to be published again."""

    records: int
    dry_run: bool = Field(description="True: nothing was changed; this is the number that would be published.")


class ReconciledDifference(BaseModel):
    """A difference that a reconciliation found."""

    code: str = Field(description="Reason code of the kind of difference.")
    subject: str = Field(description="Id of the object that differs.")
    payment_id: UUID | None
    detail: str = Field(description="Both values, in words.")
    repaired: bool = Field(description="True: our row is repaired. False: it is open.")
    action: str = Field(description="The sentence that says what to do; empty if it is repaired.")


class ReconciliationReport(BaseModel):
    """The result of a reconciliation."""

    id: UUID | None = Field(description="Id of the run; null for a dry run.")
    since: datetime
    until: datetime
    compared: int = Field(description="Number of objects and rows compared.")
    ignored: int = Field(description="Objects of other programs in the same account.")
    postponed: int = Field(
        description="Differences that may be timing: a call about the payment is in flight. Reconcile again later. Topics that "
        "could not be read count as one."
    )
    topics: bool = Field(description="True if the records on Kafka were compared, too. This needs KAFKA_BROKERS.")
    differences: list[ReconciledDifference] = Field(
        description="The first 10,000 differences of this run, in the order in which they were found."
    )
    has_more: bool = Field(description="True: there are more than 10,000 differences.")
    found: int = Field(description="Number of differences of this run.")
    repaired: int = Field(description="How many of them the run repaired.")
    open: int = Field(description="Number of differences that need attention.")


class ReplayedEvent(BaseModel):
    """A stored event that a replay applied."""

    provider: str
    id: str
    type: str
    payment_id: UUID | None
    before: str = Field(description="Its result before the replay.")
    result: str = Field(description="Its result now.")


class ReplayedEvents(BaseModel):
    """The result of a replay of stored events."""

    events: int = Field(description="Events that were applied again.")
    changes: int = Field(description="Events that changed something.")
    unresolved: int = Field(description="Events that still cannot be applied: parked, or waiting for their payment.")
    failed: int = Field(description="Events whose replay failed; the log has the errors.")
    locked: int = Field(description="Events whose payment was locked for 5 s: replay them again.")
    unknown: list[str] = Field(description="Ids that are not stored.")
    dry_run: bool = Field(description="True: nothing was changed.")
    changed: list[ReplayedEvent] = Field(description="The first 1,000 events that changed something.")


class OffsetSetBack(BaseModel):
    """A partition of an order topic whose committed offset is set back."""

    topic: str
    partition: int
    committed: int
    offset: int = Field(description="The offset from which orders are read again.")


class RecoveryReport(BaseModel):
    """The result of a recovery after a restored backup."""

    restored_to: datetime = Field(description="The time of the backup.")
    dry_run: bool = Field(description="True: nothing was changed.")
    records_recovered: int = Field(description="Published records that the backup lacked.")
    records_already_published: int = Field(description="Records that the backup had as pending and the topics have.")
    records_skipped: int = Field(
        description="Records with our ce_source that the service cannot have written; the log names each one."
    )
    operations_to_look_first: int = Field(
        description="Unfinished operations that read at the provider before they send."
    )
    creates_withdrawn: int = Field(description="Creates of payments whose end without money was published.")
    intents_found: int = Field(description="Payments with an intent that was created since the backup.")
    intents_applied: int = Field(
        description="The part of them that has a row here. The others follow with their orders."
    )
    reads_enqueued: int = Field(description="Payments that the service reads at the provider when it starts.")
    orders_to_read: int = Field(description="Published payments whose orders the service reads again.")
    offsets: list[OffsetSetBack]
    open: list[str] = Field(description="Items that need attention. If there are any, the command exits with 1.")


class FoundDifference(BaseModel):
    """A difference between two records of the same fact."""

    sides: str = Field(description="rows (our rows contradict each other) or topics (Kafka contradicts the outbox).")
    code: str = Field(description="The rule: see the runbook, Differences that verify finds.")
    subject: str = Field(description="The object that differs: an id, or topic-partition@offset.")
    payment_id: UUID | None
    detail: str
    action: str = Field(description="The next step of an operator.")


class Verification(BaseModel):
    """The differences that a comparison found."""

    data: list[FoundDifference]
    has_more: bool = Field(description="True: there are more than 10,000 differences.")
    topics: bool = Field(description="True: the topics were compared too.")
