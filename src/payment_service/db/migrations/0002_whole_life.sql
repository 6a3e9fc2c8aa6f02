-- The whole life of a payment: refunds, disputes, expiry, cancelled orders, callers' keys, audit. Only what is new:
-- nobody waits for it. What older tables get is in 0003, and what of that takes long in 0004.

-- The status as it is shown: two are derived, never stored.
CREATE FUNCTION shown_status(status text, captured bigint, refunded bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN refunded > 0 AND refunded = captured THEN 'refunded'
                WHEN refunded > 0 THEN 'partially_refunded'
                ELSE status END
$$;

-- Money on its way back. One that was asked of us bears the id of its operation; one made by hand at the provider is `made_by_hand`.
CREATE TABLE refunds (
    id                 uuid        PRIMARY KEY,
    payment_id         uuid        NOT NULL,
    provider           text        NOT NULL,
    provider_refund_id text,       -- NULL until the provider has made it; then set once
    amount             bigint      NOT NULL CONSTRAINT refunds_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency           text        NOT NULL CONSTRAINT refunds_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status             text        NOT NULL CONSTRAINT refunds_status_is_known CHECK (status IN ('pending', 'requires_action', 'succeeded', 'failed', 'canceled')),
    reason             text        NOT NULL DEFAULT '',
    failure            text        NOT NULL DEFAULT '',
    made_by_hand       boolean     NOT NULL,
    client             text,       -- who asked, under which key, for exactly what: kept for ever, so that the same job never refunds twice
    idempotency_key    text,
    fingerprint        bytea,
    metadata           jsonb       NOT NULL DEFAULT '{}',
    fact_rank          smallint,
    fact_at            bigint,
    fact_precedence    smallint,
    fact_source        text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refunds_asked_for_names_its_client CHECK (made_by_hand = (client IS NULL))
);
CREATE INDEX refunds_of_payment ON refunds (payment_id, created_at, id);
CREATE UNIQUE INDEX refunds_one_row_per_refund ON refunds (provider, provider_refund_id) WHERE provider_refund_id IS NOT NULL;

CREATE TABLE disputes (
    id                  uuid        PRIMARY KEY,
    payment_id          uuid        NOT NULL,
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

-- Where on Kafka a record went, one row each time that it was published. Only ever inserted into, by the statement that takes
-- the record from outbox_pending; in the weeks of the outbox, and dropped with them.
CREATE TABLE outbox_placements (
    position      bigint      NOT NULL,
    created_at    timestamptz NOT NULL,  -- the record's
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    published_at  timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_placements_default PARTITION OF outbox_placements DEFAULT;
CREATE INDEX outbox_placements_of_record ON outbox_placements (position);

-- Signs the cursors of lists. Made here, so that all replicas have the same one and nobody has to configure it.
CREATE TABLE cursor_key (
    id  boolean PRIMARY KEY DEFAULT true CONSTRAINT cursor_key_is_one_row CHECK (id),
    key bytea   NOT NULL CONSTRAINT cursor_key_is_sha256 CHECK (octet_length(key) = 32)
);
INSERT INTO cursor_key (key) VALUES (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

-- The ledger of the provider `bank_transfer`, which has no servers: what it was asked for, what came in, what is to go back.
CREATE TABLE bank_intents (
    reference  text        PRIMARY KEY,  -- ISO 11649, made from the payment's id
    payment_id uuid        NOT NULL,
    amount     bigint      NOT NULL CONSTRAINT bank_intents_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency   text        NOT NULL CONSTRAINT bank_intents_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status     text        NOT NULL DEFAULT 'pending' CONSTRAINT bank_intents_status_is_known CHECK (status IN ('pending', 'succeeded', 'canceled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,  -- when it was booked as paid, or canceled
    CONSTRAINT bank_intents_one_per_payment UNIQUE (payment_id),
    CONSTRAINT bank_intents_ended_has_a_time CHECK ((status = 'pending') = (ended_at IS NULL))
);
CREATE INDEX bank_intents_by_time ON bank_intents (created_at, reference);

-- Every transfer that came in, once, whatever became of it: the bank's own id tells them apart.
CREATE TABLE bank_transfers (
    account        text        NOT NULL,  -- our IBAN
    transaction_id text        NOT NULL,
    amount         bigint      NOT NULL CONSTRAINT bank_transfers_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency       text        NOT NULL CONSTRAINT bank_transfers_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    booked_on      date        NOT NULL,
    text           text        NOT NULL,  -- what the customer wrote, card numbers masked
    outcome        text        NOT NULL DEFAULT '',
    reference      text,       -- of the intent that it names
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, transaction_id)
);
-- Money that nobody could be found for yet; few, since each waits for a person.
CREATE INDEX bank_transfers_nobodys ON bank_transfers (transaction_id) WHERE outcome = 'transfer.nobodys';

CREATE TABLE bank_refunds (
    refund_id  uuid        PRIMARY KEY,
    payment_id uuid        NOT NULL,
    reference  text        NOT NULL REFERENCES bank_intents (reference),
    amount     bigint      NOT NULL CONSTRAINT bank_refunds_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency   text        NOT NULL CONSTRAINT bank_refunds_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status     text        NOT NULL DEFAULT 'pending' CONSTRAINT bank_refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
    failure    text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bank_refunds_of_intent ON bank_refunds (reference);

-- Answers to callers, kept so that the same request under the same key has the same answer.
CREATE TABLE kept_answers (
    client      text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL CONSTRAINT kept_answers_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32),
    result      json        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client, key)
);
CREATE INDEX kept_answers_by_time ON kept_answers (created_at);

-- Every change that a person or a key asked for. Only ever inserted into.
CREATE TABLE audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    client     text        NOT NULL,  -- of the key, or `cli:` and the person's name on that machine
    key_id     uuid,                  -- NULL: the command line
    address    text        NOT NULL DEFAULT '',
    action     text        NOT NULL,
    payment_id uuid,
    detail     jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_of_payment ON audit (payment_id) WHERE payment_id IS NOT NULL;

-- Orders that were cancelled: one row for each, for ever, so that a cancellation is applied once, whenever its order comes.
CREATE TABLE order_cancellations (
    order_id         text        PRIMARY KEY CONSTRAINT order_cancellations_order_id_is_1_to_64_printable CHECK (order_id ~ '^[\x21-\x7e]{1,64}$'),
    reason           text        NOT NULL DEFAULT '',
    outcome          text        CONSTRAINT order_cancellations_outcome_is_known CHECK (outcome IN ('canceled', 'refunded', 'too_late', 'nothing_paid')),
    due_at           timestamptz,  -- when the loop looks at it (again); NULL: its order has not come, or it has its outcome
    tries            integer     NOT NULL DEFAULT 0,
    record_topic     text        NOT NULL,
    record_partition integer     NOT NULL,
    record_offset    bigint      NOT NULL,
    recorded_at      timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    settled_at       timestamptz,
    CONSTRAINT order_cancellations_settled_has_an_outcome CHECK ((outcome IS NULL) = (settled_at IS NULL))
);
CREATE INDEX order_cancellations_due ON order_cancellations (due_at) WHERE due_at IS NOT NULL;

-- How many decimals a currency has, as the store writes it.
CREATE FUNCTION currency_decimals(currency text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN currency IN ('bif','clp','djf','gnf','isk','jpy','kmf','krw','mga','pyg','rwf','ugx','vnd','vuv','xaf','xof','xpf') THEN 0
                WHEN currency IN ('bhd','jod','kwd','omr','tnd') THEN 3
                ELSE 2 END
$$;
CREATE FUNCTION in_major_units(minor bigint, currency text) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT round(minor / power(10::numeric, currency_decimals(currency)), currency_decimals(currency))
$$;

CREATE VIEW refunds_decimal AS
SELECT id, payment_id, status, in_major_units(amount, currency) AS amount, currency, reason, failure AS failure_code, made_by_hand,
       provider, provider_refund_id, metadata, created_at, updated_at
FROM refunds;

CREATE VIEW disputes_decimal AS
SELECT id, payment_id, status, in_major_units(amount, currency) AS amount, currency, reason, evidence_due_at AS evidence_due_by,
       provider, provider_dispute_id, created_at, updated_at
FROM disputes;

-- Payments of the model's tables that `migrate --adopt` has not taken over: their orders get no other payment while they stand here.
CREATE TABLE model_adoption_report (
    payment_id          uuid        NOT NULL,
    order_id            text,
    status              text,
    amount              text,  -- as it stood there
    currency            text,
    provider_payment_id text,
    reason              text        NOT NULL,
    beside              uuid,  -- the payment that was taken in its place
    reported_at         timestamptz NOT NULL DEFAULT now()
);
-- A name that no order can have may be of any length.
CREATE INDEX model_adoption_report_of_order ON model_adoption_report (order_id) WHERE reason <> 'order_id_missing';
