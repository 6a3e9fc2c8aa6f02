-- Corruptions of tests/support/sample_store.py's database. Each block names every code that the corruption causes. Statements end with
-- a semicolon at the end of a line. :paid, :pending, :partly are the ids of those payments, :succeeded is the last record of o-paid.

-- codes: captured_without_success
UPDATE payments SET captured = 100 WHERE order_id = 'o-authorized';

-- codes: record_amount_differs, sums_out_of_range
ALTER TABLE payments DROP CONSTRAINT payments_refunded_within_captured_within_amount;
UPDATE payments SET captured = amount + 1 WHERE order_id = 'o-paid';

-- codes: refunded_differs_from_refunds
UPDATE payments SET refunded = 1 WHERE order_id = 'o-paid';

-- codes: reserved_differs_from_refunds
UPDATE payments SET reserved = 1 WHERE order_id = 'o-paid';

-- codes: refunded_and_lost_exceed_captured
UPDATE disputes SET status = 'lost', fact_rank = 3, fact_precedence = 1, amount = amount + 1;

-- codes: record_amount_differs, refund_currency_differs
UPDATE refunds SET currency = 'usd' WHERE payment_id = :partly;

-- codes: dispute_not_published, event_without_effect, money_returned_without_capture
UPDATE disputes SET payment_id = (SELECT id FROM payments WHERE order_id = 'o-authorized');

-- codes: event_without_effect, record_amount_differs, refund_without_operation
UPDATE refunds SET status = 'pending', provider_refund_id = NULL, fact_rank = NULL, fact_at = NULL, fact_precedence = NULL, fact_source = NULL WHERE payment_id = :partly;
UPDATE payments SET refunded = 0, reserved = 500 WHERE id = :partly;

-- codes: event_without_effect, operation_without_refund, record_amount_differs, refunded_differs_from_refunds
DELETE FROM refunds WHERE payment_id = :partly;

-- codes: event_without_effect, refund_without_provider_id
UPDATE refunds SET provider_refund_id = NULL WHERE payment_id = :partly;

-- codes: provider_differs
UPDATE operations SET provider = 'other' WHERE payment_id = :paid;

-- codes: paid_at_differs_from_status
UPDATE payments SET paid_at = NULL WHERE order_id = 'o-paid';

-- codes: payment_fact_differs_from_status
UPDATE payments SET fact_rank = 0 WHERE order_id = 'o-paid';

-- codes: payment_fact_differs_from_status
UPDATE payments SET fact_source = NULL WHERE order_id = 'o-paid';

-- codes: refund_fact_differs_from_status
UPDATE refunds SET fact_rank = 0 WHERE payment_id = :partly;

-- codes: dispute_fact_differs_from_status
UPDATE disputes SET fact_rank = 0;

-- codes: order_has_two_open_payments, record_envelope_differs
DROP INDEX payments_one_open_per_order;
UPDATE payments SET order_id = 'o-paid', attempt = 2 WHERE order_id = 'o-free';

-- codes: attempt_missing, record_envelope_differs
UPDATE payments SET attempt = 2 WHERE order_id = 'o-paid';

-- codes: create_missing
INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset) VALUES (gen_random_uuid(), 'o-new', 'stripe', 1990, 'eur', 'orders.created', 0, 77);

-- codes: intent_missing
UPDATE payments SET provider_payment_id = NULL WHERE order_id = 'o-paid';

-- codes: intent_missing
UPDATE payments SET provider_payment_id = NULL WHERE order_id = 'o-canceled';

-- codes: expiry_missing
UPDATE payments SET expires_at = now(), expiry_due_at = NULL WHERE order_id = 'o-pending';

-- codes: operation_has_no_worker
UPDATE operations SET state = 'claimed', worker = gen_random_uuid(), finished_at = NULL WHERE payment_id = :pending;

-- codes: operation_state_differs
UPDATE operations SET state = 'due' WHERE payment_id = :paid;

-- codes: operation_epoch_invalid
UPDATE operations SET epoch = 0 WHERE payment_id = :paid;

-- codes: operation_epoch_invalid
UPDATE operations SET epoch = 0, attempts = '[]', state = 'due', finished_at = NULL WHERE payment_id = :paid;

-- codes: operation_key_looks_younger
UPDATE operations SET first_sent_at = now() WHERE payment_id = :paid;

-- codes: event_stored_twice
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, processed_at, result,
                            verified_by, verified_at, occurred_at)
SELECT payment_id, event_type, provider, provider_event_id, payload, processed, processed_at, result, verified_by, verified_at, occurred_at + interval '1 s'
FROM payment_events WHERE payment_id = :paid LIMIT 1;

-- codes: event_without_effect
DELETE FROM disputes;

-- codes: cancellation_waits_for_nothing
UPDATE order_cancellations SET outcome = NULL, finished_at = NULL WHERE order_id = 'o-unwanted';

-- codes: canceled_order_is_paid
INSERT INTO order_cancellations (order_id, outcome, finished_at, record_topic, record_partition, record_offset) VALUES ('o-paid', 'canceled', now(), 'orders.cancelled', 0, 9);

-- codes: history_broken
UPDATE payment_history SET from_status = 'processing' WHERE payment_id = :paid AND sequence = 2;

-- codes: transition_not_allowed
INSERT INTO payment_history (payment_id, from_status, to_status, cause) VALUES (:paid, 'succeeded', 'canceled', 'x'), (:paid, 'canceled', 'succeeded', 'y');

-- codes: status_differs_from_history
UPDATE payments SET status = 'processing', fact_precedence = 2 WHERE order_id = 'o-pending';

-- codes: record_without_history, sequence_has_gaps
DELETE FROM payment_history WHERE payment_id = :partly AND sequence = 3;

-- codes: sequence_differs_from_history
UPDATE payments SET sequence = 9 WHERE order_id = 'o-paid';

-- codes: event_written_twice, outbox_record_missing
INSERT INTO payment_history (payment_id, sequence, from_status, to_status, published_topic, cause) SELECT payment_id, 3, from_status, to_status, published_topic, cause FROM payment_history WHERE payment_id = :paid AND sequence = 2;
UPDATE payments SET sequence = 3 WHERE order_id = 'o-paid';

-- codes: outbox_record_missing
DELETE FROM outbox WHERE :succeeded;

-- codes: outbox_record_missing, record_without_history, status_not_published
UPDATE payment_history SET published_topic = 'payments.authorized' WHERE payment_id = :paid AND sequence = 2;

-- codes: record_amount_differs, record_id_differs, refund_not_published
UPDATE payment_history SET cause = 'x' WHERE payment_id = :partly AND published_topic = 'payments.refunded';

-- codes: dispute_not_published, record_id_differs
UPDATE payment_history SET cause = 'x' WHERE published_topic = 'payments.disputed';

-- codes: history_without_payment
INSERT INTO payment_history (payment_id, from_status, to_status, cause) VALUES (gen_random_uuid(), 'created', 'pending', 'x');

-- codes: record_without_history
WITH copy AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, key, payload, headers)
    SELECT gen_random_uuid(), aggregatetype, aggregateid, 9, type, key, payload, headers FROM outbox WHERE :succeeded
    RETURNING position, aggregateid, created_at
)
INSERT INTO outbox_pending SELECT * FROM copy;

-- codes: record_written_twice
WITH copy AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, key, payload, headers)
    SELECT id, aggregatetype, aggregateid, sequence, type, key, payload, headers FROM outbox WHERE :succeeded
    RETURNING position, aggregateid, created_at
)
INSERT INTO outbox_pending SELECT * FROM copy;

-- codes: record_out_of_order
UPDATE outbox_placements SET position = 9999 WHERE position = (SELECT position FROM outbox WHERE aggregateid = :paid AND sequence = 1);
UPDATE outbox SET position = 9999 WHERE aggregateid = :paid AND sequence = 1;

-- codes: record_not_placed
DELETE FROM outbox_placements WHERE position = (SELECT position FROM outbox WHERE :succeeded);

-- codes: record_published_out_of_order
UPDATE outbox_placements SET published_at = published_at + interval '1 min' WHERE position = (SELECT position FROM outbox WHERE aggregateid = :paid AND sequence = 1);

-- codes: records_on_two_partitions
INSERT INTO outbox_placements SELECT position, created_at, 1, 7, published_at + interval '1 min' FROM outbox_placements WHERE position = (SELECT position FROM outbox WHERE :succeeded);

-- codes: record_unreadable
UPDATE outbox SET payload = 'x' WHERE :succeeded;

-- codes: record_envelope_differs, record_id_differs
UPDATE outbox SET id = gen_random_uuid() WHERE :succeeded;

-- codes: record_envelope_differs
UPDATE outbox SET key = 'x' WHERE :succeeded;

-- codes: record_amount_differs
UPDATE outbox SET payload = convert_to(replace(convert_from(payload, 'UTF8'), '19.90', '19.80'), 'UTF8') WHERE :succeeded;

-- codes: pending_without_record
INSERT INTO outbox_pending VALUES (9999, gen_random_uuid(), now());

-- codes: dead_letter_missing
DELETE FROM outbox WHERE aggregatetype = 'dead_letter';

-- codes: rows_in_default_partition
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, processed_at, result,
                            verified_by, verified_at, occurred_at)
SELECT payment_id, event_type, provider, provider_event_id || '_2', payload, processed, processed_at, result, verified_by, verified_at, '2099-01-01'
FROM payment_events WHERE payment_id = :paid LIMIT 1;

-- codes: event_forgotten
UPDATE payment_events SET processed = false, retry_at = NULL WHERE payment_id = :paid;

-- codes: budget_missing
DELETE FROM provider_budget;
UPDATE operations SET state = 'due', finished_at = NULL WHERE payment_id = :pending;
