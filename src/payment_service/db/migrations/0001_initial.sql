-- The first schema. Amounts are integers of the currency's minor unit. Tables that grow without end (payment_events, outbox)
-- are partitioned by time, so that retention is a DROP; `payment-service maintain` makes and drops their partitions.

CREATE TABLE payments (
    id                  uuid        PRIMARY KEY,
    order_id            text        NOT NULL CONSTRAINT payments_order_id_is_1_to_64_printable CHECK (order_id ~ '^[\x21-\x7e]{1,64}$'),
    n                   integer     NOT NULL DEFAULT 1 CONSTRAINT payments_n_counts_from_1 CHECK (n >= 1),
    user_id             text        NOT NULL DEFAULT '',
    provider            text        NOT NULL,
    provider_payment_id text,       -- NULL until the provider has an intent; then set once
    amount              bigint      NOT NULL CONSTRAINT payments_amount_in_range CHECK (amount BETWEEN 0 AND 999999999999),
    currency            text        NOT NULL CONSTRAINT payments_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    captured            bigint      NOT NULL DEFAULT 0,
    refunded            bigint      NOT NULL DEFAULT 0,
    reserved            bigint      NOT NULL DEFAULT 0,
    status              text        NOT NULL DEFAULT 'created' CONSTRAINT payments_status_is_known CHECK (status IN (
                                        'created', 'pending', 'requires_action', 'processing', 'declined', 'authorized',
                                        'succeeded', 'canceled', 'failed')),
    payment_method_id   text,
    payment_method_type text,
    metadata            jsonb       NOT NULL DEFAULT '{}',
    sequence            integer     NOT NULL DEFAULT 0,  -- records announced so far
    fact_rank           smallint,   -- the greatest fact applied: rank, provider's seconds, precedence, source
    fact_at             bigint,
    fact_precedence     smallint,
    fact_source         text,
    declines            text[]      NOT NULL DEFAULT '{}',  -- causes of the declines announced, one per charge
    paid_at             timestamptz,
    order_topic         text        NOT NULL,
    order_partition     integer     NOT NULL,
    order_offset        bigint      NOT NULL,
    traceparent         text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payments_one_nth_payment_per_order UNIQUE (order_id, n),
    CONSTRAINT payments_refunded_within_captured_within_amount CHECK (0 <= refunded AND refunded <= captured AND captured <= amount),
    CONSTRAINT payments_reserved_is_not_negative CHECK (reserved >= 0),
    CONSTRAINT payments_succeeded_has_captured CHECK (status <> 'succeeded' OR captured > 0 OR amount = 0)
) WITH (fillfactor = 80);  -- room for the few updates of a row's life on its own page
CREATE UNIQUE INDEX payments_one_row_per_intent ON payments (provider, provider_payment_id) WHERE provider_payment_id IS NOT NULL;

-- Every call to a provider, before it is made: the request as it will be sent, byte for byte.
CREATE SEQUENCE operations_position;
CREATE TABLE operations (
    id              uuid        PRIMARY KEY,
    payment_id      uuid        NOT NULL REFERENCES payments (id),
    position        bigint      NOT NULL DEFAULT nextval('operations_position'),  -- a payment's operations run in this order
    provider        text        NOT NULL,
    kind            text        NOT NULL CONSTRAINT operations_kind_is_known CHECK (kind IN ('create', 'capture', 'cancel', 'refund', 'retrieve')),
    state           text        NOT NULL DEFAULT 'due' CONSTRAINT operations_state_is_known CHECK (state IN ('due', 'claimed', 'done', 'refused', 'parked')),
    cause           text        NOT NULL,
    request_method  text        NOT NULL,
    request_path    text        NOT NULL,
    request_body    text        NOT NULL,
    api_version     text        NOT NULL,
    epoch           integer     NOT NULL DEFAULT 1,  -- part of the idempotency key; raised only when nothing can exist under the last one
    attempt         integer     NOT NULL DEFAULT 0,  -- the fence: raised by every claim, tested by every settling
    tries           integer     NOT NULL DEFAULT 0,  -- attempts since the last definite answer, for the back-off
    due_at          timestamptz NOT NULL DEFAULT now(),
    worker          uuid,
    first_sent_at   timestamptz,  -- of this epoch; the provider forgets keys after 24 h
    last_sent_at    timestamptz,
    ever_sent       boolean     NOT NULL DEFAULT false,
    resolving       boolean     NOT NULL DEFAULT false,  -- the key can't help any more: read what became of it
    empty_read_at   timestamptz,  -- the first read that found nothing
    outcome         text,
    outcome_code    text,
    outcome_detail  text,
    provider_request_id text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CONSTRAINT operations_claimed_has_a_worker CHECK ((state = 'claimed') = (worker IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX operations_due ON operations (provider, due_at) WHERE state = 'due';
CREATE INDEX operations_claimed ON operations (worker) WHERE state = 'claimed';
CREATE INDEX operations_unfinished ON operations (payment_id, position) WHERE state IN ('due', 'claimed', 'parked');
CREATE INDEX operations_of_payment ON operations (payment_id);
CREATE INDEX operations_parked ON operations (outcome) WHERE state = 'parked';

-- A process that claims operations. Dead after 5 s without a beat, by this database's clock.
CREATE TABLE workers (
    id           uuid        PRIMARY KEY,
    host         text        NOT NULL,
    pid          integer     NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    beat_at      timestamptz NOT NULL DEFAULT now(),
    steady_since timestamptz NOT NULL DEFAULT now()  -- since when it has beaten without a gap
);

-- The rate that all replicas share: a token bucket that each claim debits.
CREATE TABLE provider_budget (
    provider    text             PRIMARY KEY,
    tokens      double precision NOT NULL DEFAULT 0,
    granted     integer          NOT NULL DEFAULT 0,  -- by the last debit
    refilled_at timestamptz      NOT NULL DEFAULT now()
);

-- What is wrong with a provider: kind '*' is all of it. `run` holds the payments of an unbroken run of unexpected refusals.
CREATE TABLE provider_health (
    provider      text        NOT NULL,
    kind          text        NOT NULL,
    run           uuid[]      NOT NULL DEFAULT '{}',
    blocked_since timestamptz,
    reason        text,
    probe_at      timestamptz,
    PRIMARY KEY (provider, kind)
);

-- What providers told us. Partitioned by `occurred_at`, the time inside the signed event: the same in every delivery, so the
-- unique constraint is exact, which it couldn't be on a time of arrival.
CREATE TABLE payment_events (
    id                uuid        NOT NULL DEFAULT gen_random_uuid(),
    payment_id        uuid,
    event_type        text        NOT NULL,
    provider          text        NOT NULL,
    provider_event_id text        NOT NULL,
    payload           jsonb       NOT NULL,   -- as signed, less client_secret
    processed         boolean     NOT NULL,
    processed_at      timestamptz,
    result            text,                   -- applied, known, foreign, ignored, stray; or why it waits
    retry_at          timestamptz,            -- when the apply loop looks at it again; NULL: it has no work
    tries             integer     NOT NULL DEFAULT 0,
    parked_reason     text,
    verified_by       text        NOT NULL,   -- which of the configured secrets, never the signature
    verified_at       timestamptz NOT NULL,
    occurred_at       timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_events_one_row_per_event UNIQUE (provider, provider_event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE TABLE payment_events_default PARTITION OF payment_events DEFAULT;
CREATE INDEX payment_events_of_payment ON payment_events (payment_id, occurred_at);
CREATE INDEX payment_events_waiting ON payment_events (retry_at) WHERE NOT processed;
CREATE INDEX payment_events_parked ON payment_events (parked_reason) WHERE parked_reason IS NOT NULL;

-- What happened to each payment, one row per change and per announced record. Not partitioned: the unique constraint makes
-- the numbering of records exact.
CREATE TABLE payment_history (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id  uuid        NOT NULL,
    sequence    integer,    -- NULL: a change that is not announced
    from_status text        NOT NULL,
    to_status   text        NOT NULL,
    announced   text,
    cause       text        NOT NULL,
    occurred_at timestamptz,  -- the provider's clock
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_history_numbers_each_record_once UNIQUE (payment_id, sequence),
    CONSTRAINT payment_history_announced_has_a_number CHECK ((announced IS NULL) = (sequence IS NULL))
);
CREATE INDEX payment_history_silent ON payment_history (payment_id) WHERE sequence IS NULL;

-- Records to be published, written with the change they announce. Column names are those Debezium's event router expects.
-- `position` is drawn while the payment is locked; a notice (a dead letter) belongs to no payment.
CREATE SEQUENCE outbox_position;
CREATE TABLE outbox (
    position            bigint      NOT NULL DEFAULT nextval('outbox_position'),
    id                  uuid        NOT NULL,  -- ce_id
    aggregatetype       text        NOT NULL CONSTRAINT outbox_aggregatetype_is_known CHECK (aggregatetype IN ('payment', 'notice')),
    aggregateid         uuid        NOT NULL,
    sequence            integer,
    type                text        NOT NULL,  -- the topic
    key                 bytea,
    payload             bytea,
    headers             json        NOT NULL,  -- [[name, value], ...], values as Latin-1
    created_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_payment_records_are_numbered CHECK ((aggregatetype = 'payment') = (sequence IS NOT NULL)),
    PRIMARY KEY (position, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;
CREATE INDEX outbox_of_aggregate ON outbox (aggregateid, position);

-- What is not published yet: a row is written with its record and deleted when the broker has acknowledged it, so that the
-- outbox itself is only ever inserted into. Small, so that what is dead while an old snapshot is open is soon passed over.
CREATE TABLE outbox_pending (
    position    bigint      PRIMARY KEY,
    aggregateid uuid        NOT NULL,
    created_at  timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 50000);

-- A payment (or notice) whose next record can't be published by itself; its later records wait behind it, others do not.
CREATE TABLE relay_holds (
    aggregateid uuid        PRIMARY KEY,
    position    bigint      NOT NULL,
    topic       text,       -- the topic that takes nothing; NULL: the record itself is at fault, and waits for a person
    reason      text        NOT NULL,
    held_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX relay_holds_of_topic ON relay_holds (topic, position) WHERE topic IS NOT NULL;

-- Who publishes. One row; taking it over raises the epoch, which every mark tests.
CREATE TABLE relay_lease (
    id         boolean     PRIMARY KEY DEFAULT true CONSTRAINT relay_lease_is_one_row CHECK (id),
    holder     uuid,
    epoch      bigint      NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO relay_lease DEFAULT VALUES;

-- What could not be accepted, once per record. `id` is made from topic, partition and offset (or the webhook body's hash).
CREATE TABLE quarantine (
    id               uuid        PRIMARY KEY,
    source           text        NOT NULL CONSTRAINT quarantine_source_is_known CHECK (source IN ('kafka', 'webhook')),
    record_topic     text,
    record_partition integer,
    record_offset    bigint,
    reason           text        NOT NULL,
    detail           text        NOT NULL,
    record_key       bytea,
    record_value     bytea,      -- card numbers masked
    record_headers   json        NOT NULL DEFAULT '[]',
    record_at        timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX quarantine_by_time ON quarantine (created_at);

CREATE TABLE api_keys (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    client     text        NOT NULL,
    prefix     text        NOT NULL,  -- the key's first characters, for people; not secret
    hash       bytea       NOT NULL CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(hash) = 32),
    scopes     text[]      NOT NULL CONSTRAINT api_keys_scopes_are_known CHECK (scopes <@ ARRAY['read', 'checkout', 'refund', 'admin'] AND cardinality(scopes) > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT api_keys_hash_is_unique UNIQUE (hash)
);

-- The lowest revision of the service's own schema knowledge that still works on this schema; a later migration raises it.
CREATE TABLE schema_minimum (
    id       boolean PRIMARY KEY DEFAULT true CONSTRAINT schema_minimum_is_one_row CHECK (id),
    revision integer NOT NULL
);
INSERT INTO schema_minimum (revision) VALUES (1);

-- Amounts in major units, and the two statuses that are derived, for readers that expect the shape of earlier systems.
CREATE VIEW payments_decimal AS
SELECT p.id, p.order_id, p.user_id, p.provider, p.provider_payment_id,
       round(p.amount / d.factor, d.decimals) AS amount,
       round(p.captured / d.factor, d.decimals) AS amount_captured,
       round(p.refunded / d.factor, d.decimals) AS amount_refunded,
       p.currency,
       CASE WHEN p.refunded > 0 AND p.refunded = p.captured THEN 'refunded'
            WHEN p.refunded > 0 THEN 'partially_refunded'
            ELSE p.status END AS status,
       p.payment_method_id, p.payment_method_type, p.metadata, p.created_at, p.updated_at
FROM payments p
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.currency IN ('bif','clp','djf','gnf','isk','jpy','kmf','krw','mga','pyg','rwf','ugx','vnd','vuv','xaf','xof','xpf') THEN 0
                WHEN p.currency IN ('bhd','jod','kwd','omr','tnd') THEN 3
                ELSE 2 END AS decimals
) c
CROSS JOIN LATERAL (SELECT c.decimals, power(10::numeric, c.decimals) AS factor) d;
