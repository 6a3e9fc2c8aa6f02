"""The timeline of a payment: entries of `GET /v1/payments/{id}/timeline` and the command line, without payloads or
secrets.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, computed_field

from payment_service.contracts.api import Amount, CurrencyCode, OfOrder, PaymentMethod, ReceiptUrl, UpdatedAt

# Results of events in words, where the code alone is unclear.
_TAKEN: Final = {"known": "no change", "stray": "for an intent of another payment"}
# Fields that several kinds share.
_KIND: Final = Field(description="The kind of this entry. New kinds may be added.")
_Partition = Annotated[int, Field(description="Partition of the record.", examples=[3])]
_Offset = Annotated[int, Field(description="Offset of the record.", examples=[41])]
_OperationId = Annotated[
    UUID, Field(description="Id of the operation.", examples=["0fe1fd03-be36-5047-aa32-f0a33978bb41"])
]
_FinishedAt = Annotated[
    datetime | None, Field(description="Time when it ended; null: not yet.", examples=["2026-12-25T14:00:00.733000Z"])
]
_Code = Annotated[
    str, Field(description="The provider's error code, or ours; empty if none.", examples=["lock_timeout"])
]


class _Entry(BaseModel):
    """An entry at the time `at` of the database's clock."""

    # Every entry has its `kind`, by which clients tell the kinds apart.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    at: datetime = Field(
        description="Time of the entry, by the database's clock.", examples=["2026-12-25T14:00:00.417000Z"]
    )

    @computed_field(description="The entry in one sentence. The text may change.")  # type: ignore[prop-decorator]
    @property
    def text(self) -> str:
        """Return the entry in one sentence."""
        return self._sentence()

    def _sentence(self) -> str:
        raise NotImplementedError


class OrderEntry(_Entry):
    """The order record that created the payment."""

    kind: Annotated[Literal["order"], _KIND] = "order"
    order_id: OfOrder
    payment_attempt: int = Field(
        description="1; 2 or more if reopened after the previous payment ended unpaid.", examples=[1]
    )
    amount: Amount
    currency: CurrencyCode
    topic: str = Field(description="Topic of the record.", examples=["orders.created"])
    partition: _Partition
    offset: _Offset

    def _sentence(self) -> str:
        where = f"{self.topic}, partition {self.partition}, offset {self.offset}"
        how = "" if self.payment_attempt == 1 else f", reopened as attempt {self.payment_attempt},"
        return f"The order {self.order_id} of {self.amount} {self.currency}{how} created this payment ({where})."


class CancellationEntry(_Entry):
    """A cancellation of the order by the shop. Its record may precede the order's."""

    kind: Annotated[Literal["cancellation"], _KIND] = "cancellation"
    reason: str = Field(description="The shop's reason; empty if none.")
    outcome: str | None = Field(
        description="canceled, refunded, refund_failed, too_late or nothing_paid; null: not decided yet.",
        examples=["canceled"],
    )
    finished_at: _FinishedAt
    topic: str = Field(description="Topic of the record.", examples=["orders.cancelled"])
    partition: _Partition
    offset: _Offset

    def _sentence(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        where = f"{self.topic}, partition {self.partition}, offset {self.offset}"
        return f"The order was cancelled{reason}: {self.outcome or 'not decided yet'} ({where})."


class RequestEntry(_Entry):
    """A change that a caller requested and the service accepted."""

    kind: Annotated[Literal["request"], _KIND] = "request"
    action: str = Field(
        description="refund, capture, cancel, open_payment, or a command of an operator.", examples=["refund"]
    )
    client: str = Field(description="Client of the API key, or `cli:` and the name of the person.", examples=["shop"])
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

    kind: Annotated[Literal["operation"], _KIND] = "operation"
    operation_id: _OperationId
    operation: str = Field(description="create, capture, cancel, refund, retrieve.", examples=["create"])
    cause: str = Field(description="The reason for the call.")
    state: str = Field(description="due, claimed, done, refused, parked.", examples=["done"])
    attempts: int = Field(description="Number of attempts.")
    idempotency_key: str | None = Field(
        description="The idempotency key at the provider; null for a read.",
        examples=["create:ae21913b-5b2f-5c29-8abf-153dfb1cfa87:1"],
    )
    outcome: str = Field(description="Of the last attempt; empty before it has ended.", examples=["done"])
    code: _Code
    detail: str = Field(description="More about the outcome; empty if nothing is known.", examples=[""])
    provider_request_id: str = Field(
        description="The provider's id of the last request that it answered.", examples=["req_8OcXvZ"]
    )
    due_at: datetime | None = Field(description="Time of the next attempt; null unless due.")
    finished_at: _FinishedAt

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

    kind: Annotated[Literal["attempt"], _KIND] = "attempt"
    operation_id: _OperationId
    operation: str = Field(description="create, capture, cancel, refund, retrieve.", examples=["create"])
    attempt: int = Field(description="Number of this attempt of the operation, from 1.", examples=[1])
    idempotency_key: str | None = Field(description="Null: the attempt only read the outcome of earlier ones.")
    sent_at: datetime | None = Field(description="Null: the attempt only read.")
    outcome: str = Field(description="The outcome of the attempt.", examples=["transient"])
    code: _Code
    provider_request_id: str = Field(description="Empty if the provider did not answer.", examples=["req_8OcXvZ"])

    def _sentence(self) -> str:
        call = self.operation if self.idempotency_key else f"{self.operation}, read only"
        answer = f" ({self.provider_request_id})" if self.provider_request_id else ", without a response"
        return f"Attempt {self.attempt} ({call}): {_result(self.outcome, self.code)}{answer}."


class WebhookEntry(_Entry):
    """A provider event, received at `at`."""

    kind: Annotated[Literal["webhook"], _KIND] = "webhook"
    provider_event_id: str = Field(description="The provider's id of the event.", examples=["evt_3SxYz1"])
    type: str = Field(description="The provider's type of the event.", examples=["payment_intent.succeeded"])
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

    kind: Annotated[Literal["payment_attempt"], _KIND] = "payment_attempt"
    provider_charge_id: str | None = Field(
        description="The provider's id of the charge; null if none was made.", examples=["ch_3SxYz1"]
    )
    status: str = Field(description="pending, declined or succeeded.", examples=["declined"])
    amount: Amount
    currency: CurrencyCode
    decline_code: str | None = Field(
        description="The provider's decline code, else its error code; null: not declined.",
        examples=["insufficient_funds"],
    )
    decline_reason: str | None = Field(
        description="A sentence for the customer.", examples=["The card has insufficient funds."]
    )
    payment_method: PaymentMethod = Field(description="The method that the customer used.")
    receipt_url: ReceiptUrl
    occurred_at: datetime = Field(description="Time at the provider.", examples=["2026-12-25T14:00:01Z"])

    def _sentence(self) -> str:
        code = f": {self.decline_code}" if self.decline_code else ""
        charge = f" ({self.provider_charge_id})" if self.provider_charge_id else ""
        method = self.payment_method.in_words()
        return (
            f"The customer's attempt to pay {self.amount} {self.currency} with {method}{charge}: {self.status}{code}."
        )


class TransitionEntry(_Entry):
    """A change of the payment, its refunds or disputes, and the topic of its event."""

    kind: Annotated[Literal["transition"], _KIND] = "transition"
    from_status: str = Field(description="Status of the payment before.", examples=["pending"])
    to_status: str = Field(
        description="Status of the payment after; the same if only its refunds or disputes changed.",
        examples=["succeeded"],
    )
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

    kind: Annotated[Literal["refund"], _KIND] = "refund"
    refund_id: UUID = Field(description="Id of the refund.", examples=["40fbfd7e-41ae-530b-a850-b19351170173"])
    amount: Amount = Field(examples=["5.00"])
    currency: CurrencyCode
    status: str = Field(description="Status of the refund, as in `Refund`.", examples=["succeeded"])
    reason: str = Field(
        description="The reason given in the request; empty if none.", examples=["requested_by_customer"]
    )
    failure_code: str = Field(
        description="The provider's failure code; empty if it did not fail.", examples=["expired_or_canceled_card"]
    )
    bank_reference: str | None = Field(
        description="The reference by which the customer's bank finds it (of cards: the ARN); null until it is known.",
        examples=["74208445336230009123456"],
    )
    expected_at: datetime | None = Field(
        description="The customer has the money by this time; null: not known.", examples=["2027-01-08T14:00:00Z"]
    )
    external: bool = Field(description="True: created at the provider, not by this service.", examples=[False])
    client: str | None = Field(description="Client that requested it; null if it was created at the provider.")
    provider_refund_id: str | None = Field(
        description="The provider's id of the refund; null until it has one.", examples=["re_3SxYz1"]
    )
    updated_at: UpdatedAt

    def _sentence(self) -> str:
        who = "at the provider" if self.external else f"for {self.client}"
        reason = f" ({self.failure_code})" if self.failure_code else ""
        reference = f", bank reference {self.bank_reference}" if self.bank_reference else ""
        return f"A refund of {self.amount} {self.currency} was made {who}; it is {self.status}{reason}{reference}."


class DisputeEntry(_Entry):
    """A dispute, received at `at`, in its current state."""

    kind: Annotated[Literal["dispute"], _KIND] = "dispute"
    dispute_id: UUID = Field(description="Id of the dispute.", examples=["c1b1c8e2-2f6e-5b8e-8b8a-7d2f8f4c6a90"])
    amount: Amount
    currency: CurrencyCode
    status: str = Field(description="Status of the dispute, as in `Dispute`.", examples=["needs_response"])
    reason: str = Field(description="The provider's reason code.", examples=["fraudulent"])
    evidence_due_by: datetime | None = Field(
        description="Deadline for evidence; null if none is accepted.", examples=["2027-01-03T23:59:59Z"]
    )
    provider_dispute_id: str = Field(description="The provider's id of the dispute.", examples=["du_1SxZa2"])
    updated_at: UpdatedAt

    def _sentence(self) -> str:
        until = (
            f"; evidence is accepted until {self.evidence_due_by:%Y-%m-%d %H:%M} UTC" if self.evidence_due_by else ""
        )
        return f"The bank disputes {self.amount} {self.currency} ({self.reason}); it is {self.status}{until}."


class RecordEntry(_Entry):
    """A Kafka record, published at `at`, or written then and not published yet. A repeated publication is a separate
    entry. Entries are kept for a week or two.
    """

    kind: Annotated[Literal["record"], _KIND] = "record"
    topic: str = Field(description="Topic of the record.", examples=["payments.succeeded"])
    sequence: int = Field(description="`ce_sequence` of the record.", examples=[2])
    ce_id: UUID = Field(description="`ce_id` of the record.", examples=["a9f69e3b-9b06-5442-aa66-7d51eff3edde"])
    written_at: datetime = Field(
        description="Time when it was written into the outbox.", examples=["2026-12-25T14:00:02.093000Z"]
    )
    published_at: datetime | None = Field(description="Null: not published, or published before offsets were stored.")
    partition: int | None = Field(description="Partition of the record; null as `published_at`.", examples=[1])
    offset: int | None = Field(description="Offset of the record; null as `published_at`.", examples=[7])
    waiting: bool = Field(description="True while it waits to be published.", examples=[False])
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
