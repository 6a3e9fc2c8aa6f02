"""The codes of differences inside our own data, each with the sentence that says what to do.

`ROW_ACTIONS`: rows that contradict each other. `RECORD_ACTIONS`: records on Kafka that contradict the outbox. None is
repaired automatically: every row that contradicts another was changed outside the service, or by a defect.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAYMENT_ACTIONS: Final[Mapping[str, str]] = {
    "captured_without_success": "Read the payment at the provider. Correct the status or the captured amount.",
    "sums_out_of_range": "Compare the sums with the provider's charge and refunds. Correct the row.",
    "refunded_differs_from_refunds": "Compare the refunds with the provider's. Correct the refund rows or the sum.",
    "reserved_differs_from_refunds": "Compare the pending refunds with the provider's. Correct the refund rows or the sum.",
    "refunded_and_lost_exceed_captured": "The money was returned twice. Ask the provider to return the refund or the dispute.",
    "refund_currency_differs": "Read the refund at the provider. Correct the currency of the row that is wrong.",
    "money_returned_without_capture": "Read the payment at the provider. Correct its status and captured amount.",
    "refund_without_operation": "Look for the refund at the provider. If it has none, the amount stays reserved until the "
    "row is corrected.",
    "operation_without_refund": "Restore the refund row from the operation, so that its amount is reserved.",
    "refund_without_provider_id": "Read the refund at the provider. Set its id, or correct the status.",
    "provider_differs": "Correct the provider of the row, so that its calls go to the payment's provider.",
    "paid_at_differs_from_status": "Read the payment at the provider. Correct `paid_at` or the status.",
    "payment_fact_differs_from_status": "Read the payment at the provider. Correct the status or the fact key.",
    "refund_fact_differs_from_status": "Read the refund at the provider. Correct the status or the fact key.",
    "dispute_fact_differs_from_status": "Read the dispute at the provider. Correct the status or the fact key.",
    "order_has_two_open_payments": "Cancel one of the payments before the customer pays both. Restore the unique index.",
    "attempt_missing": "A payment of this order was deleted. Restore it, and look for its intent at the provider.",
    "create_missing": "The customer cannot pay. Look for the intent at the provider, then restore the create operation.",
    "intent_missing": "Look for the intent at the provider by the metadata. Set its id.",
    "expiry_missing": "Set `expiry_due_at` to `expires_at`, so that the payment expires.",
    "operation_has_no_worker": "Start a process with the role `dispatch`. It resumes the operation.",
    "operation_state_differs": "Read the object at the provider. Correct the state before the call is sent again.",
    "operation_epoch_invalid": "Read the object at the provider. Set an epoch above those of all attempts.",
    "operation_key_looks_younger": "Set `first_sent_at` to the first attempt of the epoch, so that a forgotten key is not used.",
    "event_stored_twice": "Delete the row whose `occurred_at` differs from the event at the provider.",
    "event_without_effect": "The payment lost the effect of this event. Read the payment at the provider.",
    "cancellation_waits_for_nothing": "Set `due_at` of the order cancellation to now, so that it is processed.",
    "canceled_order_is_paid": "The order was canceled and paid. Refund the payment.",
}
_HISTORY_ACTIONS: Final[Mapping[str, str]] = {
    "history_broken": "A row of the history was changed or deleted. Compare the timeline with the provider's.",
    "transition_not_allowed": "The history has a change that no fact makes. Compare the timeline with the provider's.",
    "status_differs_from_history": "Read the payment at the provider. Correct the status, or the history that lost a row.",
    "sequence_has_gaps": "A numbered row of the history was deleted. Restore it from the topic.",
    "sequence_differs_from_history": "Set the sequence above every published `ce_sequence` before the next event.",
    "event_written_twice": "Consumers ignore the second record by its `ce_id`. Report it as a defect.",
    "outbox_record_missing": "The event may never reach Kafka. Look for it on the topic, else insert the record again.",
    "status_not_published": "Consumers do not know this status. Compare the timeline with the topic.",
    "refund_not_published": "Consumers do not know this state of the refund. Compare the timeline with the topic.",
    "dispute_not_published": "Consumers do not know this dispute. Compare the timeline with the topic.",
    "history_without_payment": "The payment was deleted. Restore it, and look for its intent at the provider.",
}
_OUTBOX_ACTIONS: Final[Mapping[str, str]] = {
    "record_without_history": "The record was not written by the service, or the history lost its row. Compare both.",
    "record_written_twice": "Delete the copy that is not published yet.",
    "record_out_of_order": "Consumers may have applied these events in the wrong order. Inform them.",
    "record_not_placed": "Look for the record on the topic. If it is not there, publish it with `outbox republish`.",
    "record_published_out_of_order": "Consumers may have applied these events in the wrong order. Inform them.",
    "records_on_two_partitions": "The number of partitions was changed. Consumers read the payment's events in no order.",
    "record_unreadable": "The outbox row breaks its contract. Correct it, then publish it with `outbox republish`.",
    "record_id_differs": "The id does not follow from payment, topic and cause. Consumers cannot recognize repetitions.",
    "record_envelope_differs": "Key, headers or ids of the record name another payment, order or number. Correct the row.",
    "record_amount_differs": "Compare the amount with the provider. Correct the row, or publish the correct amount.",
    "pending_without_record": "Restore the outbox row, or delete the pending row.",
    "dead_letter_missing": "Producers do not see this rejection. Insert the dead letter, or retry the record from quarantine.",
}
_TABLE_ACTIONS: Final[Mapping[str, str]] = {
    "event_forgotten": "Nothing applies this event. Set `retry_at` to now.",
    "rows_in_default_partition": "Run `payment-service maintain` as the owner.",
    "budget_missing": "Restart the processes with the role `dispatch`: they insert the row.",
}
ROW_ACTIONS: Final = MappingProxyType({**_PAYMENT_ACTIONS, **_HISTORY_ACTIONS, **_OUTBOX_ACTIONS, **_TABLE_ACTIONS})
"""Rows against each other."""

RECORD_ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "published_record_missing": "Publish it with `outbox republish`. Find out who deleted the topic's records.",
        "published_record_differs": "The outbox row was edited after its publication, or another record stands there. Compare both.",
        "published_record_unknown": "The outbox lost the row, as after a restored backup, or somebody forged the record. See the "
        "runbook, After a backup was restored.",
        "published_record_foreign": "Another program writes to this topic. Withdraw its permission, and inform the consumers.",
        "published_record_misplaced": "Two records claim one offset, or the topic was recreated. Publish it with `outbox republish`.",
        "published_out_of_order": "Consumers may have applied these events in the wrong order. Inform them.",
    }
)
"""Records on Kafka against the outbox."""
