"""What is known of one payment, in order: `GET /v1/payments/{id}/timeline` and the command line show these. No payloads, no secrets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, computed_field

# What became of an event, where its word says too little.
_TAKEN: Final = {"known": "nothing new", "stray": "about an intent that is not the payment's"}


class _Entry(BaseModel):
    """Something that happened at `at`, by the database's clock."""

    at: datetime

    @computed_field(description="The same in one sentence, for people; its wording may change.")  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """The entry in one sentence."""
        return self._sentence()

    def _sentence(self) -> str:
        raise NotImplementedError


class OrderEntry(_Entry):
    """The order record from which the payment was made."""

    kind: Literal["order"] = "order"
    order_id: str
    payment_attempt: int = Field(
        description="1; 2 and more: opened again, after the payment before had ended unpaid.", examples=[1]
    )
    amount: str = Field(examples=["19.90"])
    currency: str = Field(examples=["eur"])
    topic: str = Field(examples=["orders.created"])
    partition: int
    offset: int

    def _sentence(self) -> str:
        where = f"{self.topic}, partition {self.partition}, offset {self.offset}"
        made = "made" if self.payment_attempt == 1 else f"is paid anew, for the {self.payment_attempt}. time, by"
        return f"The order {self.order_id} of {self.amount} {self.currency} {made} this payment ({where})."


class CancellationEntry(_Entry):
    """The order was cancelled by the shop; the record may have come before the order's own."""

    kind: Literal["cancellation"] = "cancellation"
    reason: str = Field(description="The shop's word; empty where it gave none.")
    outcome: str | None = Field(
        description="canceled, refunded, too_late, nothing_paid; null: not decided yet.", examples=["canceled"]
    )
    finished_at: datetime | None
    topic: str = Field(examples=["orders.cancelled"])
    partition: int
    offset: int

    def _sentence(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        where = f"{self.topic}, partition {self.partition}, offset {self.offset}"
        return f"The order was cancelled{reason}: {self.outcome or 'not decided yet'} ({where})."


class RequestEntry(_Entry):
    """A change that somebody asked for, and that was done."""

    kind: Literal["request"] = "request"
    action: str = Field(examples=["refund"])
    client: str = Field(description="Of the API key, or `cli:` and a name.", examples=["shop"])
    key_id: UUID | None = Field(description="Which API key; null: the command line.")
    address: str = Field(description="Where from; empty for the command line.", examples=["10.0.0.7"])
    asked: dict[str, Any] = Field(description="What exactly, with the caller's Idempotency-Key as `key`.")

    def _sentence(self) -> str:
        where = f" from {self.address}" if self.address else ""
        key = f", key {self.asked['key']}" if "key" in self.asked else ""
        return f"{self.client} asked for: {self.action}{where}{key}."


class OperationEntry(_Entry):
    """A call to the provider, queued at `at`, and how it stands."""

    kind: Literal["operation"] = "operation"
    operation_id: UUID
    operation: str = Field(description="create, capture, cancel, refund, retrieve.", examples=["create"])
    cause: str = Field(description="What asked for it.")
    state: str = Field(description="due, claimed, done, refused, parked.", examples=["done"])
    attempts: int = Field(description="How often it was taken up.")
    idempotency_key: str | None = Field(
        description="The name under which the provider does it once; null for a read.",
        examples=["create:ae21913b-5b2f-5c29-8abf-153dfb1cfa87:1"],
    )
    outcome: str = Field(description="Of the last attempt; empty before it has ended.", examples=["done"])
    code: str
    detail: str
    provider_request_id: str = Field(
        description="The provider's name for the last call that it answered.", examples=["req_8OcXvZ"]
    )
    due_at: datetime | None = Field(description="When it is tried next; null unless it is due.")
    finished_at: datetime | None

    def _sentence(self) -> str:
        match self.state:
            case "due" if self.attempts:
                state = f"was tried {self.attempts} times, last {_result(self.outcome, self.code)}, and waits for its next turn"
            case "due":
                state = "waits for its turn"
            case "claimed":
                state = f"is at the provider (attempt {self.attempts})"
            case _:
                state = f"is {self.state}: {_result(self.outcome, self.code)}"
        return f"The call {self.operation} was queued ({self.cause}); it {state}."


class AttemptEntry(_Entry):
    """An attempt that ended at `at`. Of each operation the last ten are kept; a number that is missing was never settled."""

    kind: Literal["attempt"] = "attempt"
    operation_id: UUID
    operation: str = Field(examples=["create"])
    attempt: int
    idempotency_key: str | None = Field(description="Null: it only read what became of earlier ones.")
    sent_at: datetime | None = Field(description="Null: it only read.")
    outcome: str = Field(examples=["transient"])
    code: str = Field(examples=["lock_timeout"])
    provider_request_id: str = Field(description="Empty where the provider did not answer.", examples=["req_8OcXvZ"])

    def _sentence(self) -> str:
        what = f"of {self.operation}" if self.idempotency_key else f"of {self.operation}, a read,"
        answer = f" ({self.provider_request_id})" if self.provider_request_id else ", without an answer"
        return f"Attempt {self.attempt} {what} ended: {_result(self.outcome, self.code)}{answer}."


class WebhookEntry(_Entry):
    """An event of the provider, which came at `at`."""

    kind: Literal["webhook"] = "webhook"
    provider_event_id: str = Field(examples=["evt_3SxYz1"])
    type: str = Field(examples=["payment_intent.succeeded"])
    result: str = Field(description="What became of it, or why it waits; empty while nobody has looked.")
    parked_reason: str = Field(description="Why it waits for a person; empty where it does not.")
    occurred_at: datetime = Field(description="The provider's clock.")
    processed_at: datetime | None = Field(
        description="When it was applied, or found to change nothing; null: it waits."
    )

    def _sentence(self) -> str:
        result = (
            f"parked, {self.parked_reason}" if self.parked_reason else _TAKEN.get(self.result, self.result or "waits")
        )
        return f"The provider told {self.type} ({self.provider_event_id}): {result}."


class TransitionEntry(_Entry):
    """A change of the payment, or of what hangs on it, and what it is announced as."""

    kind: Literal["transition"] = "transition"
    from_status: str = Field(examples=["pending"])
    to_status: str = Field(examples=["succeeded"])
    cause: str = Field(description="The provider's object and its state.", examples=["pi_3SxYz1:succeeded"])
    published_topic: str | None = Field(description="The topic; null for what is not announced.")
    sequence: int | None = Field(description="`ce_sequence` of the record; null for what is not announced.")
    occurred_at: datetime | None = Field(description="The provider's clock.")

    def _sentence(self) -> str:
        moved = self.from_status != self.to_status
        change = f"{self.from_status} → {self.to_status}" if moved else f"Still {self.to_status}"
        told = f", told as {self.published_topic} number {self.sequence}" if self.published_topic else ""
        return f"{change} ({self.cause}){told}."


class RefundEntry(_Entry):
    """A refund, made at `at`, and how it stands."""

    kind: Literal["refund"] = "refund"
    refund_id: UUID
    amount: str = Field(examples=["5.00"])
    currency: str = Field(examples=["eur"])
    status: str = Field(examples=["succeeded"])
    reason: str
    failure_code: str
    external: bool
    client: str | None = Field(description="Whose key asked for it; null where it was made at the provider.")
    provider_refund_id: str | None
    updated_at: datetime

    def _sentence(self) -> str:
        who = "at the provider" if self.external else f"for {self.client}"
        reason = f" ({self.failure_code})" if self.failure_code else ""
        return f"A refund of {self.amount} {self.currency} was made {who}; it is {self.status}{reason}."


class DisputeEntry(_Entry):
    """A dispute, told at `at`, and how it stands."""

    kind: Literal["dispute"] = "dispute"
    dispute_id: UUID
    amount: str = Field(examples=["19.90"])
    currency: str = Field(examples=["eur"])
    status: str = Field(examples=["needs_response"])
    reason: str = Field(examples=["fraudulent"])
    evidence_due_by: datetime | None
    provider_dispute_id: str
    updated_at: datetime

    def _sentence(self) -> str:
        until = f"; evidence is taken until {self.evidence_due_by:%Y-%m-%d %H:%M} UTC" if self.evidence_due_by else ""
        return f"The bank disputes {self.amount} {self.currency} ({self.reason}); it is {self.status}{until}."


class RecordEntry(_Entry):
    """A record on Kafka: published at `at`, once for each time, or written then and still waiting. Kept for a week or two."""

    kind: Literal["record"] = "record"
    topic: str = Field(examples=["payments.succeeded"])
    sequence: int
    ce_id: UUID
    written_at: datetime
    published_at: datetime | None = Field(description="Null: it waits, or was published before placements were kept.")
    partition: int | None
    offset: int | None
    waiting: bool
    parked_reason: str = Field(description="Why it can't go out by itself; empty where it can.")

    def _sentence(self) -> str:
        name = f"{self.topic} number {self.sequence}"
        if self.published_at is not None:
            return f"Published {name}: partition {self.partition}, offset {self.offset}."
        if self.parked_reason:
            return f"{name} can't be published: {self.parked_reason}."
        return f"{name} waits to be published." if self.waiting else f"{name} was published."


TimelineEntry = Annotated[
    OrderEntry
    | CancellationEntry
    | RequestEntry
    | OperationEntry
    | AttemptEntry
    | WebhookEntry
    | TransitionEntry
    | RefundEntry
    | DisputeEntry
    | RecordEntry,
    Field(discriminator="kind"),
]
ENTRY: TypeAdapter[TimelineEntry] = TypeAdapter(TimelineEntry)


def _result(outcome: str, code: str) -> str:
    return f"{outcome} ({code})" if code and code != outcome else outcome or "nothing known"
