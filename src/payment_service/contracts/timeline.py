"""The timeline of a payment: entries of `GET /v1/payments/{id}/timeline` and the command line, without payloads or
secrets.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, computed_field

from payment_service.contracts.api import PaymentMethod

# Results of events in words, where the code alone is unclear.
_TAKEN: Final = {"known": "no change", "stray": "for an intent of another payment"}


class _Entry(BaseModel):
    """An entry at the time `at` of the database's clock."""

    at: datetime

    @computed_field(description="The entry in one sentence. The text may change.")  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """Return the entry in one sentence."""
        return self._sentence()

    def _sentence(self) -> str:
        raise NotImplementedError


class OrderEntry(_Entry):
    """The order record that created the payment."""

    kind: Literal["order"] = "order"
    order_id: str
    payment_attempt: int = Field(
        description="1; 2 or more if reopened after the previous payment ended unpaid.", examples=[1]
    )
    amount: str = Field(examples=["19.90"])
    currency: str = Field(examples=["eur"])
    topic: str = Field(examples=["orders.created"])
    partition: int
    offset: int

    def _sentence(self) -> str:
        where = f"{self.topic}, partition {self.partition}, offset {self.offset}"
        how = "" if self.payment_attempt == 1 else f", reopened as attempt {self.payment_attempt},"
        return f"The order {self.order_id} of {self.amount} {self.currency}{how} created this payment ({where})."


class CancellationEntry(_Entry):
    """A cancellation of the order by the shop. Its record may precede the order's."""

    kind: Literal["cancellation"] = "cancellation"
    reason: str = Field(description="The shop's reason; empty if none.")
    outcome: str | None = Field(
        description="canceled, refunded, refund_failed, too_late or nothing_paid; null: not decided yet.",
        examples=["canceled"],
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
    """A change that a caller requested and the service accepted."""

    kind: Literal["request"] = "request"
    action: str = Field(examples=["refund"])
    client: str = Field(description="Client of the API key, or `cli:` and an account name.", examples=["shop"])
    key_id: UUID | None = Field(description="The API key; null for the command line.")
    address: str = Field(description="Network address; for the command line its host.", examples=["10.0.0.7"])
    why: str = Field(
        default="", description="The requester's reason; empty if none was given.", examples=["ticket 4711"]
    )
    asked: dict[str, Any] = Field(description="The request, with the caller's Idempotency-Key as `key`.")

    def _sentence(self) -> str:
        where = f" from {self.address}" if self.address else ""
        key = f", key {self.asked['key']}" if "key" in self.asked else ""
        why = f", because: {self.why}" if self.why else ""
        return f"{self.client} requested: {self.action}{where}{key}{why}."


class OperationEntry(_Entry):
    """A call to the provider, queued at `at`, in its current state."""

    kind: Literal["operation"] = "operation"
    operation_id: UUID
    operation: str = Field(description="create, capture, cancel, refund, retrieve.", examples=["create"])
    cause: str = Field(description="The reason for the call.")
    state: str = Field(description="due, claimed, done, refused, parked.", examples=["done"])
    attempts: int = Field(description="Number of attempts.")
    idempotency_key: str | None = Field(
        description="The idempotency key at the provider; null for a read.",
        examples=["create:ae21913b-5b2f-5c29-8abf-153dfb1cfa87:1"],
    )
    outcome: str = Field(description="Of the last attempt; empty before it has ended.", examples=["done"])
    code: str
    detail: str
    provider_request_id: str = Field(
        description="The provider's id of the last request that it answered.", examples=["req_8OcXvZ"]
    )
    due_at: datetime | None = Field(description="Time of the next attempt; null unless due.")
    finished_at: datetime | None

    def _sentence(self) -> str:
        match self.state:
            case "due" if self.attempts:
                state = f"was tried {self.attempts} times, last {_result(self.outcome, self.code)}, and will be retried"
            case "due":
                state = "is queued"
            case "claimed":
                state = f"is in progress (attempt {self.attempts})"
            case _:
                state = f"is {self.state}: {_result(self.outcome, self.code)}"
        return f"Call {self.operation} ({self.cause}) {state}."


class AttemptEntry(_Entry):
    """An attempt that ended at `at`. The last ten of each operation are kept; a missing number has no recorded result."""

    kind: Literal["attempt"] = "attempt"
    operation_id: UUID
    operation: str = Field(examples=["create"])
    attempt: int
    idempotency_key: str | None = Field(description="Null: the attempt only read the outcome of earlier ones.")
    sent_at: datetime | None = Field(description="Null: the attempt only read.")
    outcome: str = Field(examples=["transient"])
    code: str = Field(examples=["lock_timeout"])
    provider_request_id: str = Field(description="Empty if the provider did not answer.", examples=["req_8OcXvZ"])

    def _sentence(self) -> str:
        call = self.operation if self.idempotency_key else f"{self.operation}, read only"
        answer = f" ({self.provider_request_id})" if self.provider_request_id else ", without a response"
        return f"Attempt {self.attempt} ({call}): {_result(self.outcome, self.code)}{answer}."


class WebhookEntry(_Entry):
    """A provider event, received at `at`."""

    kind: Literal["webhook"] = "webhook"
    provider_event_id: str = Field(examples=["evt_3SxYz1"])
    type: str = Field(examples=["payment_intent.succeeded"])
    result: str = Field(description="The result of applying it, or why it waits; empty before that.")
    parked_reason: str = Field(description="Why it is parked; empty if it is not.")
    occurred_at: datetime = Field(description="Time at the provider.")
    processed_at: datetime | None = Field(
        description="Time when it was applied or found to change nothing; null: not yet."
    )

    def _sentence(self) -> str:
        result = (
            f"parked, {self.parked_reason}" if self.parked_reason else _TAKEN.get(self.result, self.result or "waits")
        )
        return f"Provider event {self.type} ({self.provider_event_id}): {result}."


class PaymentAttemptEntry(_Entry):
    """An attempt of the customer to pay, reported at `at`, in its current state."""

    kind: Literal["payment_attempt"] = "payment_attempt"
    provider_charge_id: str | None = Field(description="Null if no charge was made.", examples=["ch_3SxYz1"])
    status: str = Field(description="pending, declined, succeeded.", examples=["declined"])
    amount: str = Field(examples=["19.90"])
    currency: str = Field(examples=["eur"])
    decline_code: str | None = Field(examples=["insufficient_funds"])
    decline_reason: str | None
    payment_method: PaymentMethod
    receipt_url: str | None
    occurred_at: datetime = Field(description="Time at the provider.")

    def _sentence(self) -> str:
        code = f": {self.decline_code}" if self.decline_code else ""
        charge = f" ({self.provider_charge_id})" if self.provider_charge_id else ""
        method = self.payment_method.in_words()
        return (
            f"The customer's attempt to pay {self.amount} {self.currency} with {method}{charge}: {self.status}{code}."
        )


class TransitionEntry(_Entry):
    """A change of the payment, its refunds or disputes, and the topic of its event."""

    kind: Literal["transition"] = "transition"
    from_status: str = Field(examples=["pending"])
    to_status: str = Field(examples=["succeeded"])
    cause: str = Field(description="The provider's object and its state.", examples=["pi_3SxYz1:succeeded"])
    published_topic: str | None = Field(description="Topic of the published event; null if none is published.")
    sequence: int | None = Field(description="`ce_sequence` of the record; null if none is published.")
    occurred_at: datetime | None = Field(description="Time at the provider.")

    def _sentence(self) -> str:
        moved = self.from_status != self.to_status
        change = f"{self.from_status} → {self.to_status}" if moved else f"Still {self.to_status}"
        told = f"; published as {self.published_topic} number {self.sequence}" if self.published_topic else ""
        return f"{change} ({self.cause}){told}."


class RefundEntry(_Entry):
    """A refund, created at `at`, in its current state."""

    kind: Literal["refund"] = "refund"
    refund_id: UUID
    amount: str = Field(examples=["5.00"])
    currency: str = Field(examples=["eur"])
    status: str = Field(examples=["succeeded"])
    reason: str
    failure_code: str
    bank_reference: str | None = Field(
        description="The reference by which the customer's bank finds it (of cards: the ARN)."
    )
    expected_at: datetime | None = Field(description="The customer has the money by this time; null: not known.")
    external: bool
    client: str | None = Field(description="Client that requested it; null if it was created at the provider.")
    provider_refund_id: str | None
    updated_at: datetime

    def _sentence(self) -> str:
        who = "at the provider" if self.external else f"for {self.client}"
        reason = f" ({self.failure_code})" if self.failure_code else ""
        reference = f", bank reference {self.bank_reference}" if self.bank_reference else ""
        return f"A refund of {self.amount} {self.currency} was made {who}; it is {self.status}{reason}{reference}."


class DisputeEntry(_Entry):
    """A dispute, received at `at`, in its current state."""

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
        until = (
            f"; evidence is accepted until {self.evidence_due_by:%Y-%m-%d %H:%M} UTC" if self.evidence_due_by else ""
        )
        return f"The bank disputes {self.amount} {self.currency} ({self.reason}); it is {self.status}{until}."


class RecordEntry(_Entry):
    """A Kafka record, published at `at`, or written then and not published yet. A repeated publication is a separate
    entry. Entries are kept for a week or two.
    """

    kind: Literal["record"] = "record"
    topic: str = Field(examples=["payments.succeeded"])
    sequence: int
    ce_id: UUID
    written_at: datetime
    published_at: datetime | None = Field(description="Null: not published, or published before offsets were stored.")
    partition: int | None
    offset: int | None
    waiting: bool
    parked_reason: str = Field(description="Why it is parked; empty if it is not.")

    def _sentence(self) -> str:
        name = f"{self.topic} number {self.sequence}"
        if self.published_at is not None:
            return f"Published {name}: partition {self.partition}, offset {self.offset}."
        if self.parked_reason:
            return f"{name} cannot be published: {self.parked_reason}."
        return f"{name} is waiting to be published." if self.waiting else f"{name} was published."


TimelineEntry = Annotated[
    OrderEntry
    | CancellationEntry
    | RequestEntry
    | OperationEntry
    | AttemptEntry
    | WebhookEntry
    | PaymentAttemptEntry
    | TransitionEntry
    | RefundEntry
    | DisputeEntry
    | RecordEntry,
    Field(discriminator="kind"),
]
ENTRY: TypeAdapter[TimelineEntry] = TypeAdapter(TimelineEntry)


def _result(outcome: str, code: str) -> str:
    return f"{outcome} ({code})" if code and code != outcome else outcome or "unknown"
