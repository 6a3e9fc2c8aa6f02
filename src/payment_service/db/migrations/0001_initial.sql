-- The whole schema. docs/schema.sql shows it as a migrated database has it, with every comment.
-- `payment-service maintain` creates and drops the partitions.

CREATE FUNCTION currency_decimals(currency text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN currency IN ('bif','clp','djf','gnf','isk','jpy','kmf','krw','mga','pyg','rwf','ugx','vnd','vuv','xaf','xof','xpf') THEN 0
                WHEN currency IN ('bhd','jod','kwd','omr','tnd') THEN 3
                ELSE 2 END
$$;
COMMENT ON FUNCTION currency_decimals IS 'Number of decimals of a currency, by ISO 4217. domain/currency.py has the same list; a test compares them.';

CREATE FUNCTION in_major_units(minor bigint, currency text) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT round(minor / power(10::numeric, currency_decimals(currency)), currency_decimals(currency))
$$;
COMMENT ON FUNCTION in_major_units IS 'Convert an amount of minor units (cents) to a decimal of major units.';

CREATE FUNCTION derived_status(status text, captured bigint, refunded bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN refunded > 0 AND refunded = captured THEN 'refunded'
                WHEN refunded > 0 THEN 'partially_refunded'
                ELSE status END
$$;
COMMENT ON FUNCTION derived_status IS 'The status of a payment as the API returns it. refunded and partially_refunded are derived from amounts and never stored.';

CREATE TABLE payments (
    id                  uuid        PRIMARY KEY,
    order_id            text        NOT NULL CONSTRAINT payments_order_id_is_1_to_64_printable CHECK (order_id ~ '^[\x21-\x7e]{1,64}$'),
    attempt             integer     NOT NULL DEFAULT 1 CONSTRAINT payments_attempt_counts_from_1 CHECK (attempt >= 1),
    user_id             text        NOT NULL DEFAULT '',
    provider            text        NOT NULL,
    provider_payment_id text,
    amount              bigint      NOT NULL CONSTRAINT payments_amount_in_range CHECK (amount BETWEEN 0 AND 999999999999),
    currency            text        NOT NULL CONSTRAINT payments_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    captured            bigint      NOT NULL DEFAULT 0,
    refunded            bigint      NOT NULL DEFAULT 0,
    reserved            bigint      NOT NULL DEFAULT 0,
    status              text        NOT NULL DEFAULT 'created' CONSTRAINT payments_status_is_known CHECK (status IN (
                                        'created', 'pending', 'requires_action', 'processing', 'declined', 'authorized',
                                        'succeeded', 'canceled', 'failed')),
    capture_method      text        NOT NULL DEFAULT 'automatic'
                                    CONSTRAINT payments_capture_method_is_known CHECK (capture_method IN ('automatic', 'manual')),
    payment_method_id   text,
    payment_method_type text,
    metadata            jsonb       NOT NULL DEFAULT '{}',
    sequence            integer     NOT NULL DEFAULT 0,
    fact_rank           smallint,
    fact_at             bigint,
    fact_precedence     smallint,
    fact_source         text,
    declines            text[]      NOT NULL DEFAULT '{}',
    paid_at             timestamptz,
    expires_at          timestamptz,
    expiry_due_at       timestamptz,
    order_topic         text        NOT NULL,
    order_partition     integer     NOT NULL,
    order_offset        bigint      NOT NULL,
    traceparent         text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payments_one_row_per_attempt UNIQUE (order_id, attempt),
    CONSTRAINT payments_refunded_within_captured_within_amount CHECK (0 <= refunded AND refunded <= captured AND captured <= amount),
    CONSTRAINT payments_reserved_is_not_negative CHECK (reserved >= 0),
    CONSTRAINT payments_succeeded_has_captured CHECK (status <> 'succeeded' OR captured > 0 OR amount = 0)
) WITH (fillfactor = 80);  -- free space on each page, so that the few updates of a row stay on it (HOT)
CREATE UNIQUE INDEX payments_one_row_per_intent ON payments (provider, provider_payment_id) WHERE provider_payment_id IS NOT NULL;
CREATE UNIQUE INDEX payments_one_open_per_order ON payments (order_id) WHERE status NOT IN ('canceled', 'failed');
CREATE INDEX payments_expiring ON payments (expiry_due_at) WHERE expiry_due_at IS NOT NULL AND status IN ('created', 'pending', 'requires_action', 'declined');
CREATE INDEX payments_by_time ON payments (created_at, id);
CREATE INDEX payments_of_user ON payments (user_id, created_at, id) WHERE user_id <> '';
CREATE INDEX payments_by_status ON payments (derived_status(status, captured, refunded), currency, created_at, id);

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
COMMENT ON COLUMN payments.paid_at IS 'When the provider collected the money, by its clock.';
COMMENT ON COLUMN payments.expires_at IS 'When an unpaid payment is canceled. NULL: never.';
COMMENT ON COLUMN payments.expiry_due_at IS 'When the expiry loop looks at the payment next. NULL: never.';
COMMENT ON COLUMN payments.order_topic IS 'Topic of the order record that created the payment, with order_partition and order_offset.';
COMMENT ON COLUMN payments.traceparent IS 'W3C trace context of the order record, copied to every event.';

CREATE SEQUENCE operations_position;
CREATE TABLE operations (
    id                  uuid        PRIMARY KEY,
    payment_id          uuid        NOT NULL CONSTRAINT operations_of_a_payment REFERENCES payments (id),
    position            bigint      NOT NULL DEFAULT nextval('operations_position'),
    provider            text        NOT NULL,
    kind                text        NOT NULL CONSTRAINT operations_kind_is_known CHECK (kind IN ('create', 'capture', 'cancel', 'refund', 'retrieve')),
    state               text        NOT NULL DEFAULT 'due' CONSTRAINT operations_state_is_known CHECK (state IN ('due', 'claimed', 'done', 'refused', 'parked')),
    cause               text        NOT NULL,
    request_method      text        NOT NULL,
    request_path        text        NOT NULL,
    request_body        text        NOT NULL,
    api_version         text        NOT NULL,
    epoch               integer     NOT NULL DEFAULT 1,
    attempt             integer     NOT NULL DEFAULT 0,
    tries               integer     NOT NULL DEFAULT 0,
    due_at              timestamptz NOT NULL DEFAULT now(),
    worker              uuid,
    first_sent_at       timestamptz,
    last_sent_at        timestamptz,
    ever_sent           boolean     NOT NULL DEFAULT false,
    resolving           boolean     NOT NULL DEFAULT false,
    empty_read_at       timestamptz,
    outcome             text,
    outcome_code        text,
    outcome_detail      text,
    provider_request_id text,
    attempts            jsonb       NOT NULL DEFAULT '[]',
    created_at          timestamptz NOT NULL DEFAULT now(),
    finished_at         timestamptz,
    CONSTRAINT operations_claimed_has_a_worker CHECK ((state = 'claimed') = (worker IS NOT NULL))
) WITH (fillfactor = 70);  -- free space on each page, so that claims and results stay on it (HOT)
-- With the kind, so that a claim never steps over the calls of a blocked kind.
CREATE INDEX operations_due ON operations (provider, kind, due_at) WHERE state = 'due';
CREATE INDEX operations_claimed ON operations (worker) WHERE state = 'claimed';
CREATE INDEX operations_unfinished ON operations (payment_id, position) WHERE state IN ('due', 'claimed', 'parked');
CREATE INDEX operations_of_payment ON operations (payment_id);
CREATE INDEX operations_parked ON operations (outcome) WHERE state = 'parked';

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
COMMENT ON COLUMN operations.first_sent_at IS 'First attempt of this epoch. The provider forgets keys after 24 h.';
COMMENT ON COLUMN operations.ever_sent IS 'Whether a request may have left in any epoch. A create that was never sent can be withdrawn without a call.';
COMMENT ON COLUMN operations.resolving IS 'The key no longer protects the call, so its result is read at the provider instead.';
COMMENT ON COLUMN operations.empty_read_at IS 'First read of this epoch that found nothing. A second one, at least 60 s later, starts the next epoch.';
COMMENT ON COLUMN operations.outcome IS 'Class of the last answer (provider/port.py), or the reason why the operation is parked.';
COMMENT ON COLUMN operations.attempts IS 'The last 10 results: [{attempt, epoch, at, sent_at (null: the attempt only read), outcome, code, provider_request_id}].';

CREATE TABLE workers (
    id                 uuid        PRIMARY KEY,
    host               text        NOT NULL,
    pid                integer     NOT NULL,
    started_at         timestamptz NOT NULL DEFAULT now(),
    heartbeat_at       timestamptz NOT NULL DEFAULT now(),
    heartbeating_since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE workers IS 'Processes that claim operations. A worker is dead after 5 s without a heartbeat, by the clock of the database.';
COMMENT ON COLUMN workers.heartbeating_since IS 'Start of the current series of heartbeats without a gap of 5 s.';

CREATE TABLE provider_budget (
    provider             text             PRIMARY KEY,
    tokens               double precision NOT NULL DEFAULT 0,
    refilled_at          timestamptz      NOT NULL DEFAULT now(),
    checkout_tokens      double precision NOT NULL DEFAULT 0,
    checkout_refilled_at timestamptz      NOT NULL DEFAULT now()
);
COMMENT ON TABLE provider_budget IS 'Token buckets that limit the calls of all replicas to a provider. Every claim takes tokens.';
COMMENT ON COLUMN provider_budget.tokens IS 'Calls that may be made at once, as of refilled_at. A checkout call may take it below zero.';
COMMENT ON COLUMN provider_budget.checkout_tokens IS 'The share of calls that waiting customers may take, as of checkout_refilled_at.';

CREATE TABLE provider_health (
    provider         text        NOT NULL,
    kind             text        NOT NULL,
    refused_payments uuid[]      NOT NULL DEFAULT '{}',
    blocked_since    timestamptz,
    reason           text,
    probe_at         timestamptz,
    PRIMARY KEY (provider, kind)
);
COMMENT ON TABLE provider_health IS 'Kinds of calls that a provider rejects as a whole. Blocked calls wait; one call at a time probes.';
COMMENT ON COLUMN provider_health.kind IS 'Kind of operation, or * for all calls to the provider.';
COMMENT ON COLUMN provider_health.refused_payments IS 'Payments with an unexpected refusal since the last success. Ten of them block the kind.';
COMMENT ON COLUMN provider_health.probe_at IS 'When the next single call may test whether the block has ended.';

-- Partitioned by `occurred_at`, the time inside the signed event. It is the same in every delivery, so the unique
-- constraint is exact. On a time of arrival it could not be.
CREATE TABLE payment_events (
    id                uuid        NOT NULL DEFAULT gen_random_uuid(),
    payment_id        uuid,
    event_type        text        NOT NULL,
    provider          text        NOT NULL,
    provider_event_id text        NOT NULL,
    payload           jsonb       NOT NULL,
    processed         boolean     NOT NULL,
    processed_at      timestamptz,
    result            text,
    retry_at          timestamptz,
    tries             integer     NOT NULL DEFAULT 0,
    parked_reason     text,
    verified_by       text        NOT NULL,
    verified_at       timestamptz NOT NULL,
    occurred_at       timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_events_one_row_per_event UNIQUE (provider, provider_event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE TABLE payment_events_default PARTITION OF payment_events DEFAULT;
CREATE INDEX payment_events_of_payment ON payment_events (payment_id, occurred_at);
CREATE INDEX payment_events_waiting ON payment_events (retry_at) WHERE NOT processed;
CREATE INDEX payment_events_parked ON payment_events (parked_reason) WHERE parked_reason IS NOT NULL;

COMMENT ON TABLE payment_events IS 'Verified events of the providers, once each. Partitioned by week of occurred_at; kept for 35 days.';
COMMENT ON COLUMN payment_events.payment_id IS 'NULL if the event names no payment of this service.';
COMMENT ON COLUMN payment_events.payload IS 'The signed body without client secrets.';
COMMENT ON COLUMN payment_events.result IS 'applied, known, foreign, ignored, stray, closed; or the reason why the event waits.';
COMMENT ON COLUMN payment_events.retry_at IS 'When the apply loop tries the event again. NULL: it does not.';
COMMENT ON COLUMN payment_events.parked_reason IS 'Why the event needs attention. NULL: it does not.';
COMMENT ON COLUMN payment_events.verified_by IS 'Label of the webhook secret that verified the event, never the signature.';
COMMENT ON COLUMN payment_events.occurred_at IS 'The clock of the provider.';

CREATE TABLE payment_history (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id      uuid        NOT NULL,
    sequence        integer,
    from_status     text        NOT NULL,
    to_status       text        NOT NULL,
    published_topic text,
    cause           text        NOT NULL,
    occurred_at     timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_history_one_row_per_sequence UNIQUE (payment_id, sequence),
    CONSTRAINT payment_history_published_has_a_sequence CHECK ((published_topic IS NULL) = (sequence IS NULL))
);
COMMENT ON TABLE payment_history IS 'Changes of payments, one row per change and per published event. Not partitioned, so that the numbering of events is exact.';
COMMENT ON COLUMN payment_history.sequence IS 'ce_sequence of the event. NULL: the change was not published.';
COMMENT ON COLUMN payment_history.published_topic IS 'Topic of the event. NULL: the change was not published.';
COMMENT ON COLUMN payment_history.cause IS 'The object at the provider and the state that it reached.';
COMMENT ON COLUMN payment_history.occurred_at IS 'The clock of the provider.';

CREATE TABLE refunds (
    id                 uuid        PRIMARY KEY,
    payment_id         uuid        NOT NULL CONSTRAINT refunds_of_a_payment REFERENCES payments (id),
    provider           text        NOT NULL,
    provider_refund_id text,
    amount             bigint      NOT NULL CONSTRAINT refunds_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency           text        NOT NULL CONSTRAINT refunds_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status             text        NOT NULL CONSTRAINT refunds_status_is_known CHECK (status IN ('pending', 'requires_action', 'succeeded', 'failed', 'canceled')),
    reason             text        NOT NULL DEFAULT '',
    failure_code       text        NOT NULL DEFAULT '',
    external           boolean     NOT NULL,
    client             text,
    idempotency_key    text,
    fingerprint        bytea,
    metadata           jsonb       NOT NULL DEFAULT '{}',
    fact_rank          smallint,
    fact_at            bigint,
    fact_precedence    smallint,
    fact_source        text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refunds_external_has_no_client CHECK (external = (client IS NULL))
);
CREATE INDEX refunds_of_payment ON refunds (payment_id, created_at, id);
CREATE UNIQUE INDEX refunds_one_row_per_refund ON refunds (provider, provider_refund_id) WHERE provider_refund_id IS NOT NULL;

COMMENT ON TABLE refunds IS 'Refunds of payments. Amounts are in minor units.';
COMMENT ON COLUMN refunds.id IS 'The id of its operation; for an external refund derived from the id at the provider.';
COMMENT ON COLUMN refunds.provider_refund_id IS 'NULL until the provider has created the refund, then set once.';
COMMENT ON COLUMN refunds.failure_code IS 'Why the refund failed, in the words of the provider; empty if it did not.';
COMMENT ON COLUMN refunds.external IS 'Created at the provider, not requested through this service.';
COMMENT ON COLUMN refunds.client IS 'The API key or person that requested the refund. Kept for good, so that the same request never refunds twice.';
COMMENT ON COLUMN refunds.fingerprint IS 'SHA-256 of the request.';
COMMENT ON COLUMN refunds.fact_rank IS 'Key of the latest applied fact, as in payments.';
COMMENT ON COLUMN refunds.fact_at IS 'The clock of the provider, in seconds since 1970.';

CREATE TABLE disputes (
    id                  uuid        PRIMARY KEY,
    payment_id          uuid        NOT NULL CONSTRAINT disputes_of_a_payment REFERENCES payments (id),
    provider            text        NOT NULL,
    provider_dispute_id text        NOT NULL,
    amount              bigint      NOT NULL CONSTRAINT disputes_amount_in_range CHECK (amount BETWEEN 0 AND 999999999999),
    currency            text        NOT NULL CONSTRAINT disputes_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status              text        NOT NULL CONSTRAINT disputes_status_is_known CHECK (status IN (
                                        'warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response',
                                        'under_review', 'prevented', 'lost', 'won')),
    reason              text        NOT NULL,
    evidence_due_at     timestamptz,
    fact_rank           smallint    NOT NULL,
    fact_at             bigint      NOT NULL,
    fact_precedence     smallint    NOT NULL,
    fact_source         text        NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT disputes_one_row_per_dispute UNIQUE (provider, provider_dispute_id)
);
CREATE INDEX disputes_of_payment ON disputes (payment_id, created_at, id);
CREATE INDEX disputes_to_answer ON disputes (evidence_due_at) WHERE status IN ('needs_response', 'warning_needs_response');

COMMENT ON TABLE disputes IS 'Disputes (chargebacks and inquiries) of payments. Amounts are in minor units.';
COMMENT ON COLUMN disputes.evidence_due_at IS 'Until when the provider accepts evidence. NULL: it does not ask for any.';
COMMENT ON COLUMN disputes.fact_rank IS 'Key of the latest applied fact, as in payments.';
COMMENT ON COLUMN disputes.fact_at IS 'The clock of the provider, in seconds since 1970.';

-- Column names are the ones that the event router of Debezium expects.
CREATE SEQUENCE outbox_position;
CREATE TABLE outbox (
    position      bigint      NOT NULL DEFAULT nextval('outbox_position'),
    id            uuid        NOT NULL,
    aggregatetype text        NOT NULL CONSTRAINT outbox_aggregatetype_is_known CHECK (aggregatetype IN ('payment', 'dead_letter')),
    aggregateid   uuid        NOT NULL,
    sequence      integer,
    type          text        NOT NULL,
    key           bytea,
    payload       bytea,
    headers       json        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_payment_records_are_numbered CHECK ((aggregatetype = 'payment') = (sequence IS NOT NULL)),
    PRIMARY KEY (position, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;
CREATE INDEX outbox_of_aggregate ON outbox (aggregateid, position);

COMMENT ON TABLE outbox IS 'Records to be published, written in the transaction of the change. Only inserted into. Partitioned by week of created_at; kept for 7 days.';
COMMENT ON COLUMN outbox.position IS 'Publishing order. Drawn while the payment is locked.';
COMMENT ON COLUMN outbox.id IS 'ce_id. Derived from the payment, the topic and the cause (domain/ids.py).';
COMMENT ON COLUMN outbox.aggregateid IS 'payments.id, or the id of the dead letter. Records of one aggregate are published one after another.';
COMMENT ON COLUMN outbox.sequence IS 'ce_sequence. NULL for a dead letter.';
COMMENT ON COLUMN outbox.type IS 'The topic.';
COMMENT ON COLUMN outbox.headers IS '[[name, value], ...], values as Latin-1.';

CREATE TABLE outbox_pending (
    position    bigint      PRIMARY KEY,
    aggregateid uuid        NOT NULL,
    created_at  timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 50000);

COMMENT ON TABLE outbox_pending IS 'Outbox records that the broker has not acknowledged. A small table, so that dead rows behind an old snapshot cost little.';
COMMENT ON COLUMN outbox_pending.position IS 'outbox.position, with aggregateid and created_at of the same row.';

CREATE TABLE outbox_placements (
    position      bigint      NOT NULL,
    created_at    timestamptz NOT NULL,
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    published_at  timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_placements_default PARTITION OF outbox_placements DEFAULT;
CREATE INDEX outbox_placements_of_record ON outbox_placements (position);

COMMENT ON TABLE outbox_placements IS 'Kafka partition and offset of published records, one row per publication. Partitioned and kept like outbox.';
COMMENT ON COLUMN outbox_placements.created_at IS 'outbox.created_at of the record.';

CREATE TABLE parked_aggregates (
    aggregateid uuid        PRIMARY KEY,
    position    bigint      NOT NULL,
    topic       text,
    reason      text        NOT NULL,
    parked_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX parked_aggregates_of_topic ON parked_aggregates (topic, position) WHERE topic IS NOT NULL;

COMMENT ON TABLE parked_aggregates IS 'Payments whose next record cannot be published. Their later records wait, others do not.';
COMMENT ON COLUMN parked_aggregates.aggregateid IS 'outbox.aggregateid.';
COMMENT ON COLUMN parked_aggregates.position IS 'outbox.position of the record that cannot be published.';
COMMENT ON COLUMN parked_aggregates.topic IS 'The topic that accepts no records; publishing resumes with it. NULL: the broker refused the record itself, which needs attention.';

CREATE TABLE relay_lease (
    id         boolean     PRIMARY KEY DEFAULT true CONSTRAINT relay_lease_is_one_row CHECK (id),
    holder     uuid,
    epoch      bigint      NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO relay_lease DEFAULT VALUES;

COMMENT ON TABLE relay_lease IS 'The replica that publishes. One row.';
COMMENT ON COLUMN relay_lease.epoch IS 'Fencing token. Taking the lease raises it, and every write of the relay tests it.';

CREATE TABLE quarantine (
    id               uuid        PRIMARY KEY,
    source           text        NOT NULL CONSTRAINT quarantine_source_is_known CHECK (source IN ('kafka', 'webhook')),
    record_topic     text,
    record_partition integer,
    record_offset    bigint,
    reason           text        NOT NULL,
    detail           text        NOT NULL,
    record_key       bytea,
    record_value     bytea,
    record_headers   json        NOT NULL DEFAULT '[]',
    recorded_at      timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    replayed_at      timestamptz
);
CREATE INDEX quarantine_by_time ON quarantine (created_at);

COMMENT ON TABLE quarantine IS 'Inbound records and webhook bodies that were not accepted, once each.';
COMMENT ON COLUMN quarantine.id IS 'Derived from topic, partition and offset, or from the hash of the webhook body.';
COMMENT ON COLUMN quarantine.record_topic IS 'The topic; of a webhook the name of the provider.';
COMMENT ON COLUMN quarantine.record_value IS 'The record, with card numbers masked.';
COMMENT ON COLUMN quarantine.record_headers IS '[[name, value], ...], values as Latin-1.';
COMMENT ON COLUMN quarantine.recorded_at IS 'Timestamp of the record. NULL: it has none.';
COMMENT ON COLUMN quarantine.replayed_at IS 'When an operator replayed the record and it was accepted.';

CREATE TABLE order_cancellations (
    order_id         text        PRIMARY KEY CONSTRAINT order_cancellations_order_id_is_1_to_64_printable CHECK (order_id ~ '^[\x21-\x7e]{1,64}$'),
    reason           text        NOT NULL DEFAULT '',
    outcome          text        CONSTRAINT order_cancellations_outcome_is_known CHECK (outcome IN ('canceled', 'refunded', 'too_late', 'nothing_paid')),
    due_at           timestamptz,
    tries            integer     NOT NULL DEFAULT 0,
    record_topic     text        NOT NULL,
    record_partition integer     NOT NULL,
    record_offset    bigint      NOT NULL,
    recorded_at      timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    CONSTRAINT order_cancellations_finished_has_an_outcome CHECK ((outcome IS NULL) = (finished_at IS NULL))
);
CREATE INDEX order_cancellations_due ON order_cancellations (due_at) WHERE due_at IS NOT NULL;

COMMENT ON TABLE order_cancellations IS 'Canceled orders, one row each. Kept for good, so that a cancellation also applies to an order that arrives later.';
COMMENT ON COLUMN order_cancellations.reason IS 'The word of the shop; empty if it gave none.';
COMMENT ON COLUMN order_cancellations.due_at IS 'When the loop looks at the order next. NULL: the order has not arrived, or the outcome is known.';
COMMENT ON COLUMN order_cancellations.tries IS 'How often the loop has looked, for the backoff.';
COMMENT ON COLUMN order_cancellations.recorded_at IS 'Timestamp of the record. NULL: it has none.';

CREATE TABLE api_keys (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    client     text        NOT NULL,
    prefix     text        NOT NULL,
    hash       bytea       NOT NULL CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(hash) = 32),
    scopes     text[]      NOT NULL CONSTRAINT api_keys_scopes_are_known CHECK (scopes <@ ARRAY['read', 'checkout', 'refund', 'admin'] AND cardinality(scopes) > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT api_keys_hash_is_unique UNIQUE (hash)
);
COMMENT ON TABLE api_keys IS 'Keys of the HTTP API. Only their hashes are stored.';
COMMENT ON COLUMN api_keys.client IS 'The name under which requests with this key appear in the audit.';
COMMENT ON COLUMN api_keys.prefix IS 'First characters of the key, to recognize it by. Not secret.';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the key.';

CREATE TABLE idempotency_keys (
    client      text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL CONSTRAINT idempotency_keys_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32),
    status      integer     NOT NULL,
    body        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

COMMENT ON TABLE idempotency_keys IS 'Stored responses by Idempotency-Key, so that a repeated request gets the same response. Kept for 48 h; 24 h are promised.';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request. The same key with another request is refused.';
-- COMMENT ON COLUMN idempotency_keys.result IS 'The stored result, from which the response is written again.';

CREATE TABLE audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    client     text        NOT NULL,
    key_id     uuid,
    address    text        NOT NULL DEFAULT '',
    action     text        NOT NULL,
    payment_id uuid,
    detail     jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_of_payment ON audit (payment_id) WHERE payment_id IS NOT NULL;

COMMENT ON TABLE audit IS 'Changes that a person or an API key requested. Only inserted into.';
COMMENT ON COLUMN audit.client IS 'Client of the API key, or cli: and the name of the person on that machine.';
COMMENT ON COLUMN audit.key_id IS 'api_keys.id. NULL: the command line.';
COMMENT ON COLUMN audit.address IS 'IP address of the caller; empty for the command line.';

CREATE TABLE bank_intents (
    reference  text        PRIMARY KEY,
    payment_id uuid        NOT NULL,
    amount     bigint      NOT NULL CONSTRAINT bank_intents_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency   text        NOT NULL CONSTRAINT bank_intents_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status     text        NOT NULL DEFAULT 'pending' CONSTRAINT bank_intents_status_is_known CHECK (status IN ('pending', 'succeeded', 'canceled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    CONSTRAINT bank_intents_one_per_payment UNIQUE (payment_id),
    CONSTRAINT bank_intents_ended_has_a_time CHECK ((status = 'pending') = (ended_at IS NULL))
);
CREATE INDEX bank_intents_by_time ON bank_intents (created_at, reference);

COMMENT ON TABLE bank_intents IS 'Ledger of the provider bank_transfer: payments that a customer may make by bank transfer. Amounts are in minor units.';
COMMENT ON COLUMN bank_intents.reference IS 'ISO 11649 creditor reference, derived from the id of the payment.';
COMMENT ON COLUMN bank_intents.ended_at IS 'When the money was booked, or the intent canceled.';

CREATE TABLE bank_transfers (
    account        text        NOT NULL,
    transaction_id text        NOT NULL,
    amount         bigint      NOT NULL CONSTRAINT bank_transfers_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency       text        NOT NULL CONSTRAINT bank_transfers_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    booked_on      date        NOT NULL,
    text           text        NOT NULL,
    outcome        text        NOT NULL DEFAULT '',
    reference      text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, transaction_id)
);
CREATE INDEX bank_transfers_unmatched ON bank_transfers (transaction_id) WHERE outcome = 'transfer.unmatched';

COMMENT ON TABLE bank_transfers IS 'Ledger of the provider bank_transfer: incoming transfers, once each. Amounts are in minor units.';
COMMENT ON COLUMN bank_transfers.account IS 'IBAN of the shop.';
COMMENT ON COLUMN bank_transfers.transaction_id IS 'The id that the bank gave the transaction.';
COMMENT ON COLUMN bank_transfers.text IS 'What the customer wrote, with card numbers masked.';
COMMENT ON COLUMN bank_transfers.outcome IS 'Type of the resulting event. transfer.unmatched: no reference of this service; needs attention.';
COMMENT ON COLUMN bank_transfers.reference IS 'bank_intents.reference of the intent that the transfer names.';

CREATE TABLE bank_refunds (
    refund_id  uuid        PRIMARY KEY,
    payment_id uuid        NOT NULL,
    reference  text        NOT NULL CONSTRAINT bank_refunds_of_an_intent REFERENCES bank_intents (reference),
    amount     bigint      NOT NULL CONSTRAINT bank_refunds_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency   text        NOT NULL CONSTRAINT bank_refunds_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status     text        NOT NULL DEFAULT 'pending' CONSTRAINT bank_refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
    failure    text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bank_refunds_of_intent ON bank_refunds (reference);

COMMENT ON TABLE bank_refunds IS 'Ledger of the provider bank_transfer: transfers that the shop has to send back. Amounts are in minor units.';
COMMENT ON COLUMN bank_refunds.refund_id IS 'refunds.id.';
COMMENT ON COLUMN bank_refunds.failure IS 'Why the transfer failed; empty if it did not.';

CREATE TABLE cursor_key (
    id  boolean PRIMARY KEY DEFAULT true CONSTRAINT cursor_key_is_one_row CHECK (id),
    key bytea   NOT NULL CONSTRAINT cursor_key_is_sha256 CHECK (octet_length(key) = 32)
);
INSERT INTO cursor_key (key) VALUES (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

COMMENT ON TABLE cursor_key IS 'Signs the cursors of lists. Created by the migration, so that all replicas share it without configuration. One row.';

CREATE TABLE schema_minimum (
    id       boolean PRIMARY KEY DEFAULT true CONSTRAINT schema_minimum_is_one_row CHECK (id),
    revision integer NOT NULL
);
INSERT INTO schema_minimum (revision) VALUES (1);

COMMENT ON TABLE schema_minimum IS 'Oldest SCHEMA_REVISION_NEEDED of a service that still works on this schema. A later migration may raise it. One row.';

CREATE VIEW payments_decimal AS
SELECT id, order_id, user_id, provider, provider_payment_id, in_major_units(amount, currency) AS amount,
       in_major_units(captured, currency) AS amount_captured, in_major_units(refunded, currency) AS amount_refunded, currency,
       derived_status(status, captured, refunded) AS status, payment_method_id, payment_method_type, metadata, created_at, updated_at,
       capture_method, expires_at
FROM payments;
COMMENT ON VIEW payments_decimal IS 'Payments with amounts in major units and the derived status, as the API returns them.';

CREATE VIEW refunds_decimal AS
SELECT id, payment_id, status, in_major_units(amount, currency) AS amount, currency, reason, failure_code, external,
       provider, provider_refund_id, metadata, created_at, updated_at
FROM refunds;
COMMENT ON VIEW refunds_decimal IS 'Refunds with amounts in major units, as the API returns them.';

CREATE VIEW disputes_decimal AS
SELECT id, payment_id, status, in_major_units(amount, currency) AS amount, currency, reason, evidence_due_at AS evidence_due_by,
       provider, provider_dispute_id, created_at, updated_at
FROM disputes;
COMMENT ON VIEW disputes_decimal IS 'Disputes with amounts in major units, as the API returns them.';
