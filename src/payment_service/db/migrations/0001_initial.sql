-- The schema, without the tables of providers (Plugin.migrations), of reconciliation (0001_reconciliation.sql) and without comments.
-- docs/schema.sql shows all of it together.
-- `payment-service maintain` creates and drops the partitions.

CREATE FUNCTION currency_decimals(currency text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN currency IN ('bif','clp','djf','gnf','isk','jpy','kmf','krw','mga','pyg','rwf','ugx','vnd','vuv','xaf','xof','xpf') THEN 0
                WHEN currency IN ('bhd','jod','kwd','omr','tnd') THEN 3
                ELSE 2 END
$$;

-- Parsed now, because an index of it is built and restored with an empty search path.
CREATE FUNCTION in_major_units(minor bigint, currency text) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round(minor / power(10::numeric, currency_decimals(currency)), currency_decimals(currency));

CREATE FUNCTION derived_status(status text, captured bigint, refunded bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN refunded > 0 AND refunded = captured THEN 'refunded'
                WHEN refunded > 0 THEN 'partially_refunded'
                ELSE status END
$$;

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
    capture_before      timestamptz,
    expires_at          timestamptz,
    expiry_due_at       timestamptz,
    -- Indexes test these columns instead of the status, so that a change of the status that leaves them as they are is a HOT update.
    is_open             boolean     NOT NULL GENERATED ALWAYS AS (status NOT IN ('canceled', 'failed')) STORED,
    expiring_at         timestamptz GENERATED ALWAYS AS (
                                        CASE WHEN status IN ('created', 'pending', 'requires_action', 'declined') THEN expiry_due_at END) STORED,
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
CREATE UNIQUE INDEX payments_one_open_per_order ON payments (order_id) WHERE is_open;
CREATE INDEX payments_expiring ON payments (expiring_at) WHERE expiring_at IS NOT NULL;
CREATE INDEX payments_declined_often ON payments (created_at) WHERE cardinality(declines) >= 10;
CREATE INDEX payments_by_time ON payments (created_at, id);
CREATE INDEX payments_of_user ON payments (user_id, derived_status(status, captured, refunded), currency, created_at, id) WHERE user_id <> '';
CREATE INDEX payments_by_status ON payments (derived_status(status, captured, refunded), currency, created_at, id);

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
    withdrawal          text,
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
CREATE INDEX operations_of_payment ON operations (payment_id, position);
CREATE INDEX operations_finished_reads ON operations (finished_at) WHERE kind = 'retrieve';
CREATE INDEX operations_parked ON operations (outcome) WHERE state = 'parked';

CREATE TABLE workers (
    id                 uuid        PRIMARY KEY,
    host               text        NOT NULL,
    pid                integer     NOT NULL,
    started_at         timestamptz NOT NULL DEFAULT now(),
    heartbeat_at       timestamptz NOT NULL DEFAULT now(),
    heartbeating_since timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE provider_budget (
    provider             text             NOT NULL,
    version              bigint           NOT NULL DEFAULT 0,
    tokens               double precision NOT NULL DEFAULT 0,
    refilled_at          timestamptz      NOT NULL DEFAULT now(),
    checkout_tokens      double precision NOT NULL DEFAULT 0,
    checkout_refilled_at timestamptz      NOT NULL DEFAULT now(),
    polls_due_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, version)  -- a statement begins at the newest version, so it steps over no dead ones
);

CREATE TABLE provider_health (
    provider         text        NOT NULL,
    kind             text        NOT NULL,
    refused_payments uuid[]      NOT NULL DEFAULT '{}',
    blocked_since    timestamptz,
    reason           text,
    probe_at         timestamptz,
    PRIMARY KEY (provider, kind)
);

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
    bank_reference     text,
    expected_at        timestamptz,
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
CREATE INDEX refunds_by_status ON refunds (status, created_at, id);
CREATE INDEX refunds_of_bank_reference ON refunds (bank_reference) WHERE bank_reference IS NOT NULL;
CREATE UNIQUE INDEX refunds_one_row_per_refund ON refunds (provider, provider_refund_id) WHERE provider_refund_id IS NOT NULL;

CREATE TABLE disputes (
    id                  uuid        PRIMARY KEY,
    payment_id          uuid        NOT NULL CONSTRAINT disputes_of_a_payment REFERENCES payments (id),
    provider            text        NOT NULL,
    provider_dispute_id text        NOT NULL,
    amount              bigint      NOT NULL CONSTRAINT disputes_amount_in_range CHECK (amount BETWEEN 0 AND 999999999999),
    currency            text        NOT NULL CONSTRAINT disputes_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status              text        NOT NULL CONSTRAINT disputes_status_is_a_word CHECK (status ~ '^[a-z0-9_]{1,64}$'),
    reason              text        NOT NULL,
    evidence_due_at     timestamptz,
    answer_by           timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(evidence_due_at, '9998-01-01T00:00:00Z'::timestamptz)) STORED,
    funds_withdrawn     boolean     NOT NULL DEFAULT true,
    fact_rank           smallint    NOT NULL,
    fact_at             bigint      NOT NULL,
    fact_precedence     smallint    NOT NULL,
    fact_source         text        NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT disputes_one_row_per_dispute UNIQUE (provider, provider_dispute_id)
);
CREATE INDEX disputes_of_payment ON disputes (payment_id, created_at, id);
CREATE INDEX disputes_by_status ON disputes (status, created_at, id);
CREATE INDEX disputes_to_answer ON disputes (answer_by, id) WHERE status LIKE '%needs_response';

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

CREATE TABLE outbox_pending (
    position    bigint      PRIMARY KEY,
    aggregateid uuid        NOT NULL,
    created_at  timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 50000);

CREATE TABLE outbox_placements (
    position      bigint      NOT NULL,
    created_at    timestamptz NOT NULL,
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    published_at  timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_placements_default PARTITION OF outbox_placements DEFAULT;
CREATE INDEX outbox_placements_of_record ON outbox_placements (position);

CREATE TABLE parked_aggregates (
    aggregateid uuid        PRIMARY KEY,
    position    bigint      NOT NULL,
    topic       text,
    reason      text        NOT NULL,
    parked_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX parked_aggregates_of_topic ON parked_aggregates (topic, position) WHERE topic IS NOT NULL;

CREATE TABLE relay_lease (
    id         boolean     PRIMARY KEY DEFAULT true CONSTRAINT relay_lease_is_one_row CHECK (id),
    holder     uuid,
    epoch      bigint      NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO relay_lease DEFAULT VALUES;

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
    replayed_at      timestamptz,
    closed_at        timestamptz
);
CREATE INDEX quarantine_open ON quarantine (created_at, id) WHERE replayed_at IS NULL AND closed_at IS NULL;

CREATE TABLE order_cancellations (
    order_id         text        PRIMARY KEY CONSTRAINT order_cancellations_order_id_is_1_to_64_printable CHECK (order_id ~ '^[\x21-\x7e]{1,64}$'),
    reason           text        NOT NULL DEFAULT '',
    outcome          text        CONSTRAINT order_cancellations_outcome_is_known CHECK (outcome IN ('canceled', 'refunded', 'refund_failed', 'too_late', 'nothing_paid')),
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

CREATE TABLE idempotency_keys (
    client      text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL CONSTRAINT idempotency_keys_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32),
    result      json        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

CREATE TABLE audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    client     text        NOT NULL,
    key_id     uuid,
    address    text        NOT NULL DEFAULT '',
    action     text        NOT NULL,
    payment_id uuid,
    why        text        NOT NULL DEFAULT '' CONSTRAINT audit_why_is_a_line CHECK (length(why) <= 500),
    detail     jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_of_payment ON audit (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_client ON audit (client, at, id);
CREATE INDEX audit_by_action ON audit (action, at, id);

CREATE TABLE cursor_key (
    id  boolean PRIMARY KEY DEFAULT true CONSTRAINT cursor_key_is_one_row CHECK (id),
    key bytea   NOT NULL CONSTRAINT cursor_key_is_sha256 CHECK (octet_length(key) = 32)
);
INSERT INTO cursor_key (key) VALUES (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

CREATE TABLE provider_schemas (
    provider text    PRIMARY KEY,
    revision integer NOT NULL
);

CREATE TABLE installation (
    one_row    boolean     PRIMARY KEY DEFAULT true CONSTRAINT installation_is_one_row CHECK (one_row),
    id         uuid        NOT NULL,
    deployment text        NOT NULL,
    account    text,
    livemode   boolean,
    created_at timestamptz NOT NULL DEFAULT now(),
    claimed_at timestamptz
);

CREATE TABLE schema_minimum (
    id       boolean PRIMARY KEY DEFAULT true CONSTRAINT schema_minimum_is_one_row CHECK (id),
    revision integer NOT NULL
);
INSERT INTO schema_minimum (revision) VALUES (1);
