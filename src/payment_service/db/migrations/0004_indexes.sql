-- What takes long on a full table, each statement by itself and without a lock that a reader or writer would wait for. One
-- that was killed leaves an index that is invalid, so that each begins by dropping it.

-- A new payment of an order is opened only when the last one ended unpaid.
DROP INDEX CONCURRENTLY IF EXISTS payments_one_open_per_order;
CREATE UNIQUE INDEX CONCURRENTLY payments_one_open_per_order ON payments (order_id) WHERE status NOT IN ('canceled', 'failed');

DROP INDEX CONCURRENTLY IF EXISTS payments_expiring;
CREATE INDEX CONCURRENTLY payments_expiring ON payments (expiry_due_at) WHERE expiry_due_at IS NOT NULL AND status IN ('created', 'pending', 'requires_action', 'declined');

DROP INDEX CONCURRENTLY IF EXISTS payments_by_time;
CREATE INDEX CONCURRENTLY payments_by_time ON payments (created_at, id);

DROP INDEX CONCURRENTLY IF EXISTS payments_of_user;
CREATE INDEX CONCURRENTLY payments_of_user ON payments (user_id, created_at, id) WHERE user_id <> '';

DROP INDEX CONCURRENTLY IF EXISTS payments_by_state;
CREATE INDEX CONCURRENTLY payments_by_state ON payments (shown_status(status, captured, refunded), currency, created_at, id);

-- By kind too, so that a claim never steps over the calls of a kind that is blocked. The release before reads it as well.
DROP INDEX CONCURRENTLY IF EXISTS operations_due_by_kind;
CREATE INDEX CONCURRENTLY operations_due_by_kind ON operations (provider, kind, due_at) WHERE state = 'due';
DROP INDEX CONCURRENTLY IF EXISTS operations_due;

ALTER TABLE payments VALIDATE CONSTRAINT payments_capture_method_is_known;
ALTER TABLE refunds VALIDATE CONSTRAINT refunds_of_a_payment;
ALTER TABLE disputes VALIDATE CONSTRAINT disputes_of_a_payment;
