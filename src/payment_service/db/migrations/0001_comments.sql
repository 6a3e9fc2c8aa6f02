-- Comments of the initial schema: every table, and each column whose meaning or unit is not plain.

COMMENT ON FUNCTION currency_decimals IS 'Number of decimals of a currency, by ISO 4217. domain/currency.py has the same list; a test compares them.';

COMMENT ON FUNCTION in_major_units IS 'Convert an amount of minor units (cents) to a decimal of major units.';

COMMENT ON FUNCTION derived_status IS 'The status of a payment as the API returns it. refunded and partially_refunded are derived from amounts and never stored.';

COMMENT ON TABLE payments IS 'One attempt to collect the amount of an order. Amounts are integers of the minor unit of the currency (cents).';
COMMENT ON COLUMN payments.id IS 'Derived from the order and the attempt (domain/ids.py), so that a redelivered order finds its payment.';
COMMENT ON COLUMN payments.attempt IS 'Counts the payments of an order from 1. A new attempt opens only after the previous one ended unpaid.';
COMMENT ON COLUMN payments.user_id IS 'The user that the order names; empty if it names none.';
COMMENT ON COLUMN payments.provider_payment_id IS 'The intent at the provider. NULL until there is one, then set once.';
COMMENT ON COLUMN payments.captured IS 'Collected so far, in minor units. Refunds do not reduce it.';
COMMENT ON COLUMN payments.refunded IS 'Returned to the customer so far, in minor units.';
COMMENT ON COLUMN payments.reserved IS 'Claimed by refunds that are not finished, in minor units.';
COMMENT ON COLUMN payments.payment_method_id IS 'The payment method at the provider. Reserved: nothing writes it yet.';
COMMENT ON COLUMN payments.payment_method_type IS 'The type of payment method at the provider, for example card.';
COMMENT ON COLUMN payments.metadata IS 'Metadata of the order. Reserved: nothing writes it yet.';
COMMENT ON COLUMN payments.sequence IS 'Number of events published for this payment so far; the last ce_sequence.';
COMMENT ON COLUMN payments.fact_rank IS 'Key of the latest applied fact, first part. An older fact (rank, at, precedence, source) changes nothing.';
COMMENT ON COLUMN payments.fact_at IS 'Key, second part: the clock of the provider, in seconds since 1970.';
COMMENT ON COLUMN payments.fact_precedence IS 'Key, third part: orders facts of the same second.';
COMMENT ON COLUMN payments.fact_source IS 'Key, last part: the event or operation that brought the fact.';
COMMENT ON COLUMN payments.declines IS 'Causes of the declines already published, one per charge, so that each is published once.';
COMMENT ON COLUMN payments.paid_at IS 'When the provider collected the money, by its clock. Set once.';
COMMENT ON COLUMN payments.capture_before IS 'When the authorization ends, by the clock of the provider. NULL: not authorized, or not known yet.';
COMMENT ON COLUMN payments.expires_at IS 'When an unpaid payment is canceled. NULL: never.';
COMMENT ON COLUMN payments.expiry_due_at IS 'When the expiry loop looks at the payment next. NULL: never.';
COMMENT ON COLUMN payments.order_topic IS 'Topic of the order record that created the payment, with order_partition and order_offset.';
COMMENT ON COLUMN payments.traceparent IS 'W3C trace context of the order record, copied to every event.';

COMMENT ON TABLE operations IS 'Every call to a provider. The row is committed before the call is made.';
COMMENT ON COLUMN operations.id IS 'Derived from the payment, the kind and the request (domain/ids.py). Part of the idempotency key, except for create.';
COMMENT ON COLUMN operations.position IS 'The operations of a payment run one after another, in this order.';
COMMENT ON COLUMN operations.state IS 'due: waits until due_at. claimed: a worker makes the call. done, refused: finished. parked: needs attention.';
COMMENT ON COLUMN operations.cause IS 'The request, order or rule that asked for the call.';
COMMENT ON COLUMN operations.request_body IS 'Sent byte for byte on every attempt: the provider answers the same key with another body by an error.';
COMMENT ON COLUMN operations.epoch IS 'Part of the idempotency key. Raised only when nothing can exist under the previous key. In epoch 0 nothing is sent, only read.';
COMMENT ON COLUMN operations.attempt IS 'Fencing token. Every claim raises it, and a result is recorded only for the current attempt.';
COMMENT ON COLUMN operations.tries IS 'Attempts in this epoch, for the backoff.';
COMMENT ON COLUMN operations.worker IS 'The worker that holds the claim; workers.id.';
COMMENT ON COLUMN operations.first_sent_at IS 'Earliest time at which this epoch''s request can have been sent. The provider forgets keys after 24 h.';
COMMENT ON COLUMN operations.ever_sent IS 'Whether a request may have left in any epoch. A create that this database never sent can be withdrawn after a look at the provider.';
COMMENT ON COLUMN operations.withdrawal IS 'Reason why a create is not wanted any more: it is looked for, and ends if the provider has no intent.';
COMMENT ON COLUMN operations.resolving IS 'The key no longer protects the call, so its result is read at the provider instead.';
COMMENT ON COLUMN operations.empty_read_at IS 'First read of this epoch that found nothing. A second one, at least 60 s later, starts the next epoch.';
COMMENT ON COLUMN operations.outcome IS 'Class of the last answer (provider/port.py), or the reason why the operation is parked.';
COMMENT ON COLUMN operations.attempts IS 'The last 10 results: [{attempt, epoch, at, sent_at (null: the attempt only read), outcome, code, provider_request_id}].';

COMMENT ON TABLE workers IS 'Processes that claim operations. A worker is dead after 5 s without a heartbeat, by the clock of the database.';
COMMENT ON COLUMN workers.heartbeating_since IS 'Start of the current series of heartbeats without a gap of 5 s.';

COMMENT ON TABLE provider_budget IS 'Token buckets that limit the calls of all replicas to a provider. Every claim takes tokens.';
COMMENT ON COLUMN provider_budget.version IS 'Counts the updates. It is a key, so that a statement finds the row without stepping over earlier versions, which an old snapshot retains.';
COMMENT ON COLUMN provider_budget.tokens IS 'Calls that may be made at once, as of refilled_at. A checkout call may take it below zero.';
COMMENT ON COLUMN provider_budget.checkout_tokens IS 'The share of calls that waiting customers may take, as of checkout_refilled_at.';
COMMENT ON COLUMN provider_budget.polls_due_at IS 'When the next round of polls may begin. One replica gets it.';

COMMENT ON TABLE event_positions IS 'How far the events of a provider are read, so that none depends on a webhook. One row per provider.';
COMMENT ON COLUMN event_positions.events_read_until IS 'All events of the provider up to this second (its clock, since 1970) are stored.';
COMMENT ON COLUMN event_positions.window_until IS 'End of the window that is being read; NULL between windows.';
COMMENT ON COLUMN event_positions.events_after IS 'Position inside the window: the last event of the page before.';
COMMENT ON COLUMN event_positions.clock_ahead_s IS 'The clock of the provider minus that of the database, seconds.';
COMMENT ON COLUMN event_positions.round IS 'Fencing token. Claiming a page raises it, and saving the position tests it.';
COMMENT ON COLUMN event_positions.failures IS 'Failed pages in a row; the pause doubles with each.';
COMMENT ON COLUMN event_positions.events_due_at IS 'When the next page is due. A replica that reads a page moves it for the time of a call.';
COMMENT ON TABLE polls IS 'Payments of which something is open, and when the provider is asked about them. The row is deleted when nothing is open.';
COMMENT ON COLUMN polls.tries IS 'The wait doubles with each: 3 min, 6 min, up to 6 h.';
COMMENT ON TABLE provider_health IS 'Kinds of calls that a provider rejects as a whole. Blocked calls wait; one call at a time probes.';
COMMENT ON COLUMN provider_health.kind IS 'Kind of operation, or * for all calls to the provider.';
COMMENT ON COLUMN provider_health.refused_payments IS 'Payments with an unexpected refusal since the last success. Ten of them block the kind.';
COMMENT ON COLUMN provider_health.probe_at IS 'When the next single call may test whether the block has ended.';

COMMENT ON TABLE payment_events IS 'Verified events of the providers, once each. Partitioned by week of occurred_at; kept for 35 days.';
COMMENT ON COLUMN payment_events.payment_id IS 'NULL if the event names no payment of this service.';
COMMENT ON COLUMN payment_events.payload IS 'The signed body without client secrets.';
COMMENT ON COLUMN payment_events.result IS 'applied, known, external, ignored, stray, closed; or the reason why the event waits.';
COMMENT ON COLUMN payment_events.retry_at IS 'When the apply loop tries the event again. NULL: it does not.';
COMMENT ON COLUMN payment_events.parked_reason IS 'Why the event needs attention. NULL: it does not.';
COMMENT ON COLUMN payment_events.verified_by IS 'Label of the webhook secret that verified the event, never the signature; read if it was read from the provider.';
COMMENT ON COLUMN payment_events.occurred_at IS 'The clock of the provider.';

COMMENT ON TABLE payment_history IS 'Changes of payments, one row per change and per published event. Not partitioned, so that the numbering of events is exact.';
COMMENT ON COLUMN payment_history.sequence IS 'ce_sequence of the event. NULL: the change was not published.';
COMMENT ON COLUMN payment_history.published_topic IS 'Topic of the event. NULL: the change was not published.';
COMMENT ON COLUMN payment_history.cause IS 'The object at the provider and the state that it reached.';
COMMENT ON COLUMN payment_history.occurred_at IS 'The clock of the provider. NULL: a read showed the status, but not its time.';

COMMENT ON TABLE payment_attempts IS 'Attempts of customers to pay, as the provider reported them. Nothing is decided by them. Amounts are in minor units.';
COMMENT ON COLUMN payment_attempts.name IS 'The id of the charge at the provider, else of the event that reported a decline without a charge.';
COMMENT ON COLUMN payment_attempts.decline_code IS 'Why it was declined, in the words of the provider. NULL: it was not.';
COMMENT ON COLUMN payment_attempts.decline_reason IS 'Why it was declined, as a sentence for the customer.';
COMMENT ON COLUMN payment_attempts.card_last4 IS 'The last four digits of the card or account. No other digit is ever stored.';
COMMENT ON COLUMN payment_attempts.card_funding IS 'credit, debit, prepaid or unknown.';
COMMENT ON COLUMN payment_attempts.card_country IS 'Country of the issuer, ISO 3166-1.';
COMMENT ON COLUMN payment_attempts.card_wallet IS 'The wallet that held the card, such as apple_pay. NULL: none.';
COMMENT ON COLUMN payment_attempts.occurred_at IS 'The clock of the provider.';

COMMENT ON TABLE refunds IS 'Refunds of payments. Amounts are in minor units.';
COMMENT ON COLUMN refunds.id IS 'The id of its operation; for an external refund derived from the id at the provider.';
COMMENT ON COLUMN refunds.provider_refund_id IS 'NULL until the provider has created the refund, then set once.';
COMMENT ON COLUMN refunds.failure_code IS 'Why the refund failed, in the words of the provider; empty if it did not.';
COMMENT ON COLUMN refunds.bank_reference IS 'The reference by which the bank of the customer finds the refund (ARN). NULL until the provider reports it.';
COMMENT ON COLUMN refunds.expected_at IS 'When the customer has the money at the latest, as the provider promises it. NULL: it promises no time.';
COMMENT ON COLUMN refunds.external IS 'Created at the provider, not requested through this service.';
COMMENT ON COLUMN refunds.client IS 'The API key or person that requested the refund. Kept for good, so that the same request never refunds twice.';
COMMENT ON COLUMN refunds.fingerprint IS 'SHA-256 of the request.';
COMMENT ON COLUMN refunds.fact_rank IS 'Key of the latest applied fact, as in payments.';
COMMENT ON COLUMN refunds.fact_at IS 'The clock of the provider, in seconds since 1970.';

COMMENT ON TABLE disputes IS 'Disputes (chargebacks and inquiries) of payments. Amounts are in minor units.';
COMMENT ON COLUMN disputes.status IS 'The word of the provider, which may be newer than this version.';
COMMENT ON COLUMN disputes.funds_withdrawn IS 'Whether the bank has the money. For a status that does not say it: what the fields of the provider say.';
COMMENT ON COLUMN disputes.evidence_due_at IS 'Until when the provider accepts evidence. NULL: it does not ask for any.';
COMMENT ON COLUMN disputes.answer_by IS 'The order of disputes that need a response: those without a deadline come last.';
COMMENT ON COLUMN disputes.fact_rank IS 'Key of the latest applied fact, as in payments.';
COMMENT ON COLUMN disputes.fact_at IS 'The clock of the provider, in seconds since 1970.';

COMMENT ON TABLE outbox IS 'Records to be published, written in the transaction of the change. Only inserted into. Partitioned by week of created_at; kept for 7 days.';
COMMENT ON COLUMN outbox.position IS 'Publishing order. Drawn while the payment is locked.';
COMMENT ON COLUMN outbox.id IS 'ce_id. Derived from the payment, the topic and the cause (domain/ids.py).';
COMMENT ON COLUMN outbox.aggregateid IS 'payments.id, or the id of the dead letter. Records of one aggregate are published one after another.';
COMMENT ON COLUMN outbox.sequence IS 'ce_sequence. NULL for a dead letter.';
COMMENT ON COLUMN outbox.type IS 'The topic.';
COMMENT ON COLUMN outbox.headers IS '[[name, value], ...], values as Latin-1.';

COMMENT ON TABLE outbox_pending IS 'Outbox records that the broker has not acknowledged. A small table, so that dead rows behind an old snapshot cost little.';
COMMENT ON COLUMN outbox_pending.position IS 'outbox.position, with aggregateid and created_at of the same row.';

COMMENT ON TABLE outbox_placements IS 'Kafka partition and offset of published records, one row per publication. Partitioned and kept like outbox.';
COMMENT ON COLUMN outbox_placements.created_at IS 'outbox.created_at of the record.';

COMMENT ON TABLE parked_aggregates IS 'Payments whose next record cannot be published. Their later records wait, others do not.';
COMMENT ON COLUMN parked_aggregates.aggregateid IS 'outbox.aggregateid.';
COMMENT ON COLUMN parked_aggregates.position IS 'outbox.position of the record that cannot be published.';
COMMENT ON COLUMN parked_aggregates.topic IS 'The topic that accepts no records; publishing resumes with it. NULL: the broker refused the record itself, which needs attention.';

COMMENT ON TABLE recovery IS 'The last recovery of a restored backup. One row or none.';
COMMENT ON COLUMN recovery.restored_to IS 'The time of the backup. The service looks at the provider and the topics from then on.';
COMMENT ON COLUMN recovery.finished_at IS 'NULL: the service does not start.';
COMMENT ON TABLE recovered_records IS 'Records of payments.* that the restored backup lacked. Their facts are not published again, and their numbers are not used again.';
COMMENT ON COLUMN recovered_records.sequence IS 'The number that the topic has. The payment continues above it.';
COMMENT ON TABLE relay_lease IS 'The replica that publishes. One row.';
COMMENT ON COLUMN relay_lease.epoch IS 'Fencing token. Taking the lease raises it, and every write of the relay tests it.';

COMMENT ON TABLE quarantine IS 'Inbound records and webhook bodies that were not accepted, once each.';
COMMENT ON COLUMN quarantine.id IS 'Derived from topic, partition and offset, or from the hash of the webhook body.';
COMMENT ON COLUMN quarantine.record_topic IS 'The topic; of a webhook the name of the provider.';
COMMENT ON COLUMN quarantine.record_value IS 'The record, with card numbers masked.';
COMMENT ON COLUMN quarantine.record_headers IS '[[name, value], ...], values as Latin-1.';
COMMENT ON COLUMN quarantine.recorded_at IS 'Timestamp of the record. NULL: it has none.';
COMMENT ON COLUMN quarantine.replayed_at IS 'When an operator retried the record and it was accepted.';
COMMENT ON COLUMN quarantine.closed_at IS 'When an operator closed it without accepting it. NULL, as is replayed_at: it needs attention.';

COMMENT ON TABLE order_cancellations IS 'Canceled orders, one row each. Kept for good, so that a cancellation also applies to an order that arrives later.';
COMMENT ON COLUMN order_cancellations.reason IS 'The word of the shop; empty if it gave none.';
COMMENT ON COLUMN order_cancellations.due_at IS 'When the loop looks at the order next. NULL: the order has not arrived, or the outcome is known.';
COMMENT ON COLUMN order_cancellations.tries IS 'How often the loop has looked, for the backoff.';
COMMENT ON COLUMN order_cancellations.recorded_at IS 'Timestamp of the record. NULL: it has none.';

COMMENT ON TABLE api_keys IS 'Keys of the HTTP API. Only their hashes are stored.';
COMMENT ON COLUMN api_keys.client IS 'The name under which requests with this key appear in the audit.';
COMMENT ON COLUMN api_keys.prefix IS 'First characters of the key, to recognize it by. Not secret.';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the key.';
COMMENT ON COLUMN api_keys.family IS 'Shared by a key and those that replaced it, so that a rotation does not restart the limits of a day.';
COMMENT ON COLUMN api_keys.networks IS 'Addresses that may use the key; empty: every address.';
COMMENT ON COLUMN api_keys.requests_per_second IS 'Per process of the service. NULL: no limit.';
COMMENT ON COLUMN api_keys.refunds_per_day IS 'Refunds per day, UTC, of the family. NULL: no limit.';
COMMENT ON COLUMN api_keys.refund_amounts_per_day IS 'Sum of refunds per day, UTC, of the family: minor units by currency. Empty: no limit; otherwise no other currency.';
COMMENT ON COLUMN api_keys.refund_amounts_max IS 'The largest single refund: minor units by currency. Empty: no limit; otherwise no other currency.';
COMMENT ON COLUMN api_keys.last_used_at IS 'Accurate to a minute or two. NULL: never.';

COMMENT ON TABLE api_key_refunds IS 'Refunds requested with a limited API key, per day. Its row is the lock of concurrent refunds.';
COMMENT ON COLUMN api_key_refunds.day IS 'Day in UTC, by the database''s clock.';
COMMENT ON COLUMN api_key_refunds.amounts IS 'Minor units by currency.';

COMMENT ON TABLE idempotency_keys IS 'Stored responses by Idempotency-Key, so that a repeated request gets the same response. Kept for 48 h; 24 h are promised.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request. The same key with another request is refused.';
COMMENT ON COLUMN idempotency_keys.result IS 'The stored result, from which the response is written again.';

COMMENT ON TABLE audit IS 'Changes that a person or an API key requested. Only inserted into.';
COMMENT ON COLUMN audit.client IS 'Client of the API key, or cli: and the name of the person on that machine.';
COMMENT ON COLUMN audit.why IS 'Why, in the words of the requester; empty if not given.';
COMMENT ON COLUMN audit.key_id IS 'api_keys.id. NULL: the command line.';
COMMENT ON COLUMN audit.address IS 'IP address of the caller; empty for the command line.';

COMMENT ON TABLE audit_unsealed IS 'Entries of audit that the next seal covers. Inserted with the entry, deleted with its link.';
COMMENT ON TABLE audit_chain IS 'The hash chain over audit. Only inserted into.';
COMMENT ON COLUMN audit_chain.position IS 'From 1, without gaps.';
COMMENT ON COLUMN audit_chain.hash IS 'SHA-256 of the previous hash and the entry (docs/decisions/0017-audit-chain.md).';

COMMENT ON TABLE installation IS 'The deployment name that this database belongs to, since the first start. One row.';
COMMENT ON COLUMN installation.id IS 'Random. In the metadata of created intents, and of the object that claims the name at the provider. A restored backup keeps it.';
COMMENT ON COLUMN installation.deployment IS 'DEPLOYMENT of the first start. Ids and idempotency keys derive from it, so it never changes.';
COMMENT ON COLUMN installation.account IS 'Id of the account at the provider. NULL until a start has read it.';
COMMENT ON COLUMN installation.livemode IS 'Whether the key of the first start was of live mode. NULL until then.';
COMMENT ON COLUMN installation.claimed_at IS 'When the account first confirmed the claim of the name. NULL until then.';

COMMENT ON TABLE cursor_key IS 'Signs the cursors of lists, and sessions and forms of the operators'' pages. Whoever reads it can make a session. Created by the migration, so that all replicas share it without configuration. One row.';

COMMENT ON TABLE provider_schemas IS 'Tables that providers bring. The service needs as many scripts as its plugins have.';
COMMENT ON COLUMN provider_schemas.revision IS 'Number of scripts in Plugin.migrations that have run.';

COMMENT ON TABLE schema_minimum IS 'Oldest SCHEMA_REVISION_NEEDED of a service that still works on this schema. A later migration may raise it. One row.';

COMMENT ON VIEW payments_decimal IS 'Payments with amounts in major units and the derived status, as the API returns them.';

COMMENT ON VIEW refunds_decimal IS 'Refunds with amounts in major units, as the API returns them.';

COMMENT ON VIEW disputes_decimal IS 'Disputes with amounts in major units, as the API returns them.';

COMMENT ON TABLE reconciliations IS 'Runs of reconciliation. At most one runs; another process resumes it after its lease has ended.';
COMMENT ON COLUMN reconciliations.since IS 'The window that is compared, by the time of creation; `until` is inclusive.';
COMMENT ON COLUMN reconciliations.changed_since IS 'Our rows and records are compared if they changed since then; NULL: all of them.';
COMMENT ON COLUMN reconciliations.comparison IS 'The comparison that runs, and the position from which it resumes after a crash.';
COMMENT ON COLUMN reconciliations.compared IS 'Number of objects and rows compared.';
COMMENT ON COLUMN reconciliations.ignored IS 'Objects of other programs in the same account.';
COMMENT ON COLUMN reconciliations.found IS 'Differences found, repaired ones included.';
COMMENT ON COLUMN reconciliations.postponed IS 'Differences that may be timing: the payment was locked or had a call in flight. A later run compares them again.';
COMMENT ON COLUMN reconciliations.holder IS 'The process that runs it, until `lease_until` by the clock of the database. Each step renews the lease.';

COMMENT ON TABLE reconciliation_objects IS 'Objects that the provider listed during a run, to find rows without an object. Deleted when the run ends.';

COMMENT ON TABLE differences IS 'Differences that reconciliation found, one row per code and object. Open ones have no resolved_at and need attention.';
COMMENT ON COLUMN differences.code IS 'Reason code; domain/differences.py says what to do for each.';
COMMENT ON COLUMN differences.subject IS 'Id of the object that differs: at the provider, of a row, or topic, partition and offset.';
COMMENT ON COLUMN differences.sides IS 'The two sides that were compared.';
COMMENT ON COLUMN differences.provider IS 'The provider of the object; empty if the difference is between our rows or topics.';
COMMENT ON COLUMN differences.payment_id IS 'The payment, if known. It may have no row.';
COMMENT ON COLUMN differences.detail IS 'Both values, in words.';
COMMENT ON COLUMN differences.occurred_at IS 'The time by which a window contains the object.';
COMMENT ON COLUMN differences.first_seen_at IS 'When the difference was found first since it was last resolved.';
COMMENT ON COLUMN differences.resolved_at IS 'When it was repaired, or when a run no longer found it. NULL: open.';
COMMENT ON COLUMN differences.repaired IS 'True: reconciliation repaired it. False and resolved: it disappeared by other means.';

COMMENT ON TABLE partition_readers IS 'The last consumer that was assigned a partition. If it died while it read, the next one reads the first records in a process of their own.';
COMMENT ON COLUMN partition_readers.reader IS 'Random id of the consumer.';
COMMENT ON COLUMN partition_readers.ended_at IS 'When it gave the partition up or stopped. NULL: it reads, or it died.';
