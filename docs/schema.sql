-- The schema of the database, made by `make docs` from the migrations in src/payment_service/db/migrations.
-- Read it here; create it with `payment-service migrate`, which also creates the partitions by week.

-- Number of decimals of a currency, by ISO 4217. domain/currency.py has the same list; a test compares them.
CREATE FUNCTION currency_decimals(currency text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN currency IN ('bif','clp','djf','gnf','isk','jpy','kmf','krw','mga','pyg','rwf','ugx','vnd','vuv','xaf','xof','xpf') THEN 0
                WHEN currency IN ('bhd','jod','kwd','omr','tnd') THEN 3
                ELSE 2 END
$function$;

-- Convert an amount of minor units (cents) to a decimal of major units.
CREATE FUNCTION in_major_units(minor bigint, currency text)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT round(minor / power(10::numeric, currency_decimals(currency)), currency_decimals(currency))
$function$;

-- The status of a payment as the API returns it. refunded and partially_refunded are derived from amounts and never stored.
CREATE FUNCTION derived_status(status text, captured bigint, refunded bigint)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN refunded > 0 AND refunded = captured THEN 'refunded'
                WHEN refunded > 0 THEN 'partially_refunded'
                ELSE status END
$function$;

CREATE SEQUENCE operations_position;
CREATE SEQUENCE outbox_position;

-- One attempt to collect the amount of an order. Amounts are integers of the minor unit of the currency (cents).
CREATE TABLE payments (
    id                  uuid        NOT NULL,  -- Derived from the order and the attempt (domain/ids.py), so that a redelivered order finds its payment.
    order_id            text        NOT NULL,
    attempt             integer     NOT NULL DEFAULT 1,  -- Counts the payments of an order from 1. A new attempt opens only after the previous one ended unpaid.
    user_id             text        NOT NULL DEFAULT '',  -- The user that the order names; empty if it names none.
    provider            text        NOT NULL,
    provider_payment_id text,  -- The intent at the provider. NULL until there is one, then set once.
    amount              bigint      NOT NULL,
    currency            text        NOT NULL,
    captured            bigint      NOT NULL DEFAULT 0,  -- Collected so far, in minor units. Refunds do not reduce it.
    refunded            bigint      NOT NULL DEFAULT 0,  -- Returned to the customer so far, in minor units.
    reserved            bigint      NOT NULL DEFAULT 0,  -- Claimed by refunds that are not finished, in minor units.
    status              text        NOT NULL DEFAULT 'created',
    capture_method      text        NOT NULL DEFAULT 'automatic',
    payment_method_id   text,  -- The payment method at the provider. Reserved: nothing writes it yet.
    payment_method_type text,  -- The type of payment method at the provider, for example card.
    metadata            jsonb       NOT NULL DEFAULT '{}'::jsonb,  -- Metadata of the order. Reserved: nothing writes it yet.
    sequence            integer     NOT NULL DEFAULT 0,  -- Number of events published for this payment so far; the last ce_sequence.
    fact_rank           smallint,  -- Key of the latest applied fact, first part. An older fact (rank, at, precedence, source) changes nothing.
    fact_at             bigint,  -- Key, second part: the clock of the provider, in seconds since 1970.
    fact_precedence     smallint,  -- Key, third part: orders facts of the same second.
    fact_source         text,  -- Key, last part: the event or operation that brought the fact.
    declines            text[]      NOT NULL DEFAULT '{}'::text[],  -- Causes of the declines already published, one per charge, so that each is published once.
    paid_at             timestamptz,  -- When the provider collected the money, by its clock.
    expires_at          timestamptz,  -- When an unpaid payment is canceled. NULL: never.
    expiry_due_at       timestamptz,  -- When the expiry loop looks at the payment next. NULL: never.
    order_topic         text        NOT NULL,  -- Topic of the order record that created the payment, with order_partition and order_offset.
    order_partition     integer     NOT NULL,
    order_offset        bigint      NOT NULL,
    traceparent         text,  -- W3C trace context of the order record, copied to every event.
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payments_pkey PRIMARY KEY (id),
    CONSTRAINT payments_one_row_per_attempt UNIQUE (order_id, attempt),
    CONSTRAINT payments_amount_in_range CHECK (amount >= 0 AND amount <= '999999999999'::bigint),
    CONSTRAINT payments_attempt_counts_from_1 CHECK (attempt >= 1),
    CONSTRAINT payments_capture_method_is_known CHECK (capture_method = ANY (ARRAY['automatic', 'manual'])),
    CONSTRAINT payments_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT payments_order_id_is_1_to_64_printable CHECK (order_id ~ '^[\x21-\x7e]{1,64}$'),
    CONSTRAINT payments_refunded_within_captured_within_amount CHECK (0 <= refunded AND refunded <= captured AND captured <= amount),
    CONSTRAINT payments_reserved_is_not_negative CHECK (reserved >= 0),
    CONSTRAINT payments_status_is_known CHECK (status = ANY (ARRAY['created', 'pending', 'requires_action', 'processing', 'declined', 'authorized', 'succeeded', 'canceled', 'failed'])),
    CONSTRAINT payments_succeeded_has_captured CHECK (status <> 'succeeded' OR captured > 0 OR amount = 0)
) WITH (fillfactor=80);
CREATE UNIQUE INDEX payments_one_row_per_intent ON payments (provider, provider_payment_id) WHERE provider_payment_id IS NOT NULL;
CREATE UNIQUE INDEX payments_one_open_per_order ON payments (order_id) WHERE status <> ALL (ARRAY['canceled', 'failed']);
CREATE INDEX payments_expiring ON payments (expiry_due_at) WHERE expiry_due_at IS NOT NULL AND (status = ANY (ARRAY['created', 'pending', 'requires_action', 'declined']));
CREATE INDEX payments_by_time ON payments (created_at, id);
CREATE INDEX payments_of_user ON payments (user_id, created_at, id) WHERE user_id <> '';
CREATE INDEX payments_by_status ON payments (derived_status(status, captured, refunded), currency, created_at, id);

-- Every call to a provider. The row is committed before the call is made.
CREATE TABLE operations (
    id                  uuid        NOT NULL,  -- Derived from the payment, the kind and the request (domain/ids.py). Part of the idempotency key, except for create.
    payment_id          uuid        NOT NULL,
    position            bigint      NOT NULL DEFAULT nextval('operations_position'::regclass),  -- The operations of a payment run one after another, in this order.
    provider            text        NOT NULL,
    kind                text        NOT NULL,
    state               text        NOT NULL DEFAULT 'due',  -- due: waits until due_at. claimed: a worker makes the call. done, refused: finished. parked: needs attention.
    cause               text        NOT NULL,  -- The request, order or rule that asked for the call.
    request_method      text        NOT NULL,
    request_path        text        NOT NULL,
    request_body        text        NOT NULL,  -- Sent byte for byte on every attempt: the provider answers the same key with another body by an error.
    api_version         text        NOT NULL,
    epoch               integer     NOT NULL DEFAULT 1,  -- Part of the idempotency key. Raised only when nothing can exist under the previous key. In epoch 0 nothing is sent, only read.
    attempt             integer     NOT NULL DEFAULT 0,  -- Fencing token. Every claim raises it, and a result is recorded only for the current attempt.
    tries               integer     NOT NULL DEFAULT 0,  -- Attempts in this epoch, for the backoff.
    due_at              timestamptz NOT NULL DEFAULT now(),
    worker              uuid,  -- The worker that holds the claim; workers.id.
    first_sent_at       timestamptz,  -- First attempt of this epoch. The provider forgets keys after 24 h.
    last_sent_at        timestamptz,
    ever_sent           boolean     NOT NULL DEFAULT false,  -- Whether a request may have left in any epoch. A create that was never sent can be withdrawn without a call.
    resolving           boolean     NOT NULL DEFAULT false,  -- The key no longer protects the call, so its result is read at the provider instead.
    empty_read_at       timestamptz,  -- First read of this epoch that found nothing. A second one, at least 60 s later, starts the next epoch.
    outcome             text,  -- Class of the last answer (provider/port.py), or the reason why the operation is parked.
    outcome_code        text,
    outcome_detail      text,
    provider_request_id text,
    attempts            jsonb       NOT NULL DEFAULT '[]'::jsonb,  -- The last 10 results: [{attempt, epoch, at, sent_at (null: the attempt only read), outcome, code, provider_request_id}].
    created_at          timestamptz NOT NULL DEFAULT now(),
    finished_at         timestamptz,
    CONSTRAINT operations_pkey PRIMARY KEY (id),
    CONSTRAINT operations_of_a_payment FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT operations_claimed_has_a_worker CHECK ((state = 'claimed') = (worker IS NOT NULL)),
    CONSTRAINT operations_kind_is_known CHECK (kind = ANY (ARRAY['create', 'capture', 'cancel', 'refund', 'retrieve'])),
    CONSTRAINT operations_state_is_known CHECK (state = ANY (ARRAY['due', 'claimed', 'done', 'refused', 'parked']))
) WITH (fillfactor=70);
CREATE INDEX operations_due ON operations (provider, kind, due_at) WHERE state = 'due';
CREATE INDEX operations_claimed ON operations (worker) WHERE state = 'claimed';
CREATE INDEX operations_unfinished ON operations (payment_id, "position") WHERE state = ANY (ARRAY['due', 'claimed', 'parked']);
CREATE INDEX operations_of_payment ON operations (payment_id);
CREATE INDEX operations_parked ON operations (outcome) WHERE state = 'parked';

-- Processes that claim operations. A worker is dead after 5 s without a heartbeat, by the clock of the database.
CREATE TABLE workers (
    id                 uuid        NOT NULL,
    host               text        NOT NULL,
    pid                integer     NOT NULL,
    started_at         timestamptz NOT NULL DEFAULT now(),
    heartbeat_at       timestamptz NOT NULL DEFAULT now(),
    heartbeating_since timestamptz NOT NULL DEFAULT now(),  -- Start of the current series of heartbeats without a gap of 5 s.
    CONSTRAINT workers_pkey PRIMARY KEY (id)
);

-- Token buckets that limit the calls of all replicas to a provider. Every claim takes tokens.
CREATE TABLE provider_budget (
    provider             text             NOT NULL,
    tokens               double precision NOT NULL DEFAULT 0,  -- Calls that may be made at once, as of refilled_at. A checkout call may take it below zero.
    refilled_at          timestamptz      NOT NULL DEFAULT now(),
    checkout_tokens      double precision NOT NULL DEFAULT 0,  -- The share of calls that waiting customers may take, as of checkout_refilled_at.
    checkout_refilled_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT provider_budget_pkey PRIMARY KEY (provider)
);

-- Kinds of calls that a provider rejects as a whole. Blocked calls wait; one call at a time probes.
CREATE TABLE provider_health (
    provider         text        NOT NULL,
    kind             text        NOT NULL,  -- Kind of operation, or * for all calls to the provider.
    refused_payments uuid[]      NOT NULL DEFAULT '{}'::uuid[],  -- Payments with an unexpected refusal since the last success. Ten of them block the kind.
    blocked_since    timestamptz,
    reason           text,
    probe_at         timestamptz,  -- When the next single call may test whether the block has ended.
    CONSTRAINT provider_health_pkey PRIMARY KEY (provider, kind)
);

-- Verified events of the providers, once each. Partitioned by week of occurred_at; kept for 35 days.
CREATE TABLE payment_events (
    id                uuid        NOT NULL DEFAULT gen_random_uuid(),
    payment_id        uuid,  -- NULL if the event names no payment of this service.
    event_type        text        NOT NULL,
    provider          text        NOT NULL,
    provider_event_id text        NOT NULL,
    payload           jsonb       NOT NULL,  -- The signed body without client secrets.
    processed         boolean     NOT NULL,
    processed_at      timestamptz,
    result            text,  -- applied, known, external, ignored, stray, closed; or the reason why the event waits.
    retry_at          timestamptz,  -- When the apply loop tries the event again. NULL: it does not.
    tries             integer     NOT NULL DEFAULT 0,
    parked_reason     text,  -- Why the event needs attention. NULL: it does not.
    verified_by       text        NOT NULL,  -- Label of the webhook secret that verified the event, never the signature.
    verified_at       timestamptz NOT NULL,
    occurred_at       timestamptz NOT NULL,  -- The clock of the provider.
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_events_one_row_per_event UNIQUE (provider, provider_event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE TABLE payment_events_default PARTITION OF payment_events DEFAULT;
CREATE INDEX payment_events_of_payment ON ONLY payment_events (payment_id, occurred_at);
CREATE INDEX payment_events_waiting ON ONLY payment_events (retry_at) WHERE NOT processed;
CREATE INDEX payment_events_parked ON ONLY payment_events (parked_reason) WHERE parked_reason IS NOT NULL;

-- Changes of payments, one row per change and per published event. Not partitioned, so that the numbering of events is exact.
CREATE TABLE payment_history (
    id              bigint      GENERATED ALWAYS AS IDENTITY,
    payment_id      uuid        NOT NULL,
    sequence        integer,  -- ce_sequence of the event. NULL: the change was not published.
    from_status     text        NOT NULL,
    to_status       text        NOT NULL,
    published_topic text,  -- Topic of the event. NULL: the change was not published.
    cause           text        NOT NULL,  -- The object at the provider and the state that it reached.
    occurred_at     timestamptz,  -- The clock of the provider.
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_history_pkey PRIMARY KEY (id),
    CONSTRAINT payment_history_one_row_per_sequence UNIQUE (payment_id, sequence),
    CONSTRAINT payment_history_published_has_a_sequence CHECK ((published_topic IS NULL) = (sequence IS NULL))
);

-- Refunds of payments. Amounts are in minor units.
CREATE TABLE refunds (
    id                 uuid        NOT NULL,  -- The id of its operation; for an external refund derived from the id at the provider.
    payment_id         uuid        NOT NULL,
    provider           text        NOT NULL,
    provider_refund_id text,  -- NULL until the provider has created the refund, then set once.
    amount             bigint      NOT NULL,
    currency           text        NOT NULL,
    status             text        NOT NULL,
    reason             text        NOT NULL DEFAULT '',
    failure_code       text        NOT NULL DEFAULT '',  -- Why the refund failed, in the words of the provider; empty if it did not.
    external           boolean     NOT NULL,  -- Created at the provider, not requested through this service.
    client             text,  -- The API key or person that requested the refund. Kept for good, so that the same request never refunds twice.
    idempotency_key    text,
    fingerprint        bytea,  -- SHA-256 of the request.
    metadata           jsonb       NOT NULL DEFAULT '{}'::jsonb,
    fact_rank          smallint,  -- Key of the latest applied fact, as in payments.
    fact_at            bigint,  -- The clock of the provider, in seconds since 1970.
    fact_precedence    smallint,
    fact_source        text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT refunds_pkey PRIMARY KEY (id),
    CONSTRAINT refunds_of_a_payment FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT refunds_amount_in_range CHECK (amount >= 1 AND amount <= '999999999999'::bigint),
    CONSTRAINT refunds_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT refunds_external_has_no_client CHECK (external = (client IS NULL)),
    CONSTRAINT refunds_status_is_known CHECK (status = ANY (ARRAY['pending', 'requires_action', 'succeeded', 'failed', 'canceled']))
);
CREATE INDEX refunds_of_payment ON refunds (payment_id, created_at, id);
CREATE UNIQUE INDEX refunds_one_row_per_refund ON refunds (provider, provider_refund_id) WHERE provider_refund_id IS NOT NULL;

-- Disputes (chargebacks and inquiries) of payments. Amounts are in minor units.
CREATE TABLE disputes (
    id                  uuid        NOT NULL,
    payment_id          uuid        NOT NULL,
    provider            text        NOT NULL,
    provider_dispute_id text        NOT NULL,
    amount              bigint      NOT NULL,
    currency            text        NOT NULL,
    status              text        NOT NULL,
    reason              text        NOT NULL,
    evidence_due_at     timestamptz,  -- Until when the provider accepts evidence. NULL: it does not ask for any.
    fact_rank           smallint    NOT NULL,  -- Key of the latest applied fact, as in payments.
    fact_at             bigint      NOT NULL,  -- The clock of the provider, in seconds since 1970.
    fact_precedence     smallint    NOT NULL,
    fact_source         text        NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT disputes_pkey PRIMARY KEY (id),
    CONSTRAINT disputes_one_row_per_dispute UNIQUE (provider, provider_dispute_id),
    CONSTRAINT disputes_of_a_payment FOREIGN KEY (payment_id) REFERENCES payments(id),
    CONSTRAINT disputes_amount_in_range CHECK (amount >= 0 AND amount <= '999999999999'::bigint),
    CONSTRAINT disputes_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT disputes_status_is_known CHECK (status = ANY (ARRAY['warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', 'under_review', 'prevented', 'lost', 'won']))
);
CREATE INDEX disputes_of_payment ON disputes (payment_id, created_at, id);
CREATE INDEX disputes_to_answer ON disputes (evidence_due_at) WHERE status = ANY (ARRAY['needs_response', 'warning_needs_response']);

-- Records to be published, written in the transaction of the change. Only inserted into. Partitioned by week of created_at; kept for 7 days.
CREATE TABLE outbox (
    position      bigint      NOT NULL DEFAULT nextval('outbox_position'::regclass),  -- Publishing order. Drawn while the payment is locked.
    id            uuid        NOT NULL,  -- ce_id. Derived from the payment, the topic and the cause (domain/ids.py).
    aggregatetype text        NOT NULL,
    aggregateid   uuid        NOT NULL,  -- payments.id, or the id of the dead letter. Records of one aggregate are published one after another.
    sequence      integer,  -- ce_sequence. NULL for a dead letter.
    type          text        NOT NULL,  -- The topic.
    key           bytea,
    payload       bytea,
    headers       json        NOT NULL,  -- [[name, value], ...], values as Latin-1.
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_pkey PRIMARY KEY ("position", created_at),
    CONSTRAINT outbox_aggregatetype_is_known CHECK (aggregatetype = ANY (ARRAY['payment', 'dead_letter'])),
    CONSTRAINT outbox_payment_records_are_numbered CHECK ((aggregatetype = 'payment') = (sequence IS NOT NULL))
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;
CREATE INDEX outbox_of_aggregate ON ONLY outbox (aggregateid, "position");

-- Outbox records that the broker has not acknowledged. A small table, so that dead rows behind an old snapshot cost little.
CREATE TABLE outbox_pending (
    position    bigint      NOT NULL,  -- outbox.position, with aggregateid and created_at of the same row.
    aggregateid uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT outbox_pending_pkey PRIMARY KEY ("position")
) WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=50000);

-- Kafka partition and offset of published records, one row per publication. Partitioned and kept like outbox.
CREATE TABLE outbox_placements (
    position      bigint      NOT NULL,
    created_at    timestamptz NOT NULL,  -- outbox.created_at of the record.
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    published_at  timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (created_at);
CREATE TABLE outbox_placements_default PARTITION OF outbox_placements DEFAULT;
CREATE INDEX outbox_placements_of_record ON ONLY outbox_placements ("position");

-- Payments whose next record cannot be published. Their later records wait, others do not.
CREATE TABLE parked_aggregates (
    aggregateid uuid        NOT NULL,  -- outbox.aggregateid.
    position    bigint      NOT NULL,  -- outbox.position of the record that cannot be published.
    topic       text,  -- The topic that accepts no records; publishing resumes with it. NULL: the broker refused the record itself, which needs attention.
    reason      text        NOT NULL,
    parked_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT parked_aggregates_pkey PRIMARY KEY (aggregateid)
);
CREATE INDEX parked_aggregates_of_topic ON parked_aggregates (topic, "position") WHERE topic IS NOT NULL;

-- The replica that publishes. One row.
CREATE TABLE relay_lease (
    id         boolean     NOT NULL DEFAULT true,
    holder     uuid,
    epoch      bigint      NOT NULL DEFAULT 0,  -- Fencing token. Taking the lease raises it, and every write of the relay tests it.
    expires_at timestamptz NOT NULL DEFAULT '-infinity'::timestamptz,
    CONSTRAINT relay_lease_pkey PRIMARY KEY (id),
    CONSTRAINT relay_lease_is_one_row CHECK (id)
);

-- Inbound records and webhook bodies that were not accepted, once each.
CREATE TABLE quarantine (
    id               uuid        NOT NULL,  -- Derived from topic, partition and offset, or from the hash of the webhook body.
    source           text        NOT NULL,
    record_topic     text,  -- The topic; of a webhook the name of the provider.
    record_partition integer,
    record_offset    bigint,
    reason           text        NOT NULL,
    detail           text        NOT NULL,
    record_key       bytea,
    record_value     bytea,  -- The record, with card numbers masked.
    record_headers   json        NOT NULL DEFAULT '[]'::json,  -- [[name, value], ...], values as Latin-1.
    recorded_at      timestamptz,  -- Timestamp of the record. NULL: it has none.
    created_at       timestamptz NOT NULL DEFAULT now(),
    replayed_at      timestamptz,  -- When an operator replayed the record and it was accepted.
    CONSTRAINT quarantine_pkey PRIMARY KEY (id),
    CONSTRAINT quarantine_source_is_known CHECK (source = ANY (ARRAY['kafka', 'webhook']))
);
CREATE INDEX quarantine_by_time ON quarantine (created_at);

-- Canceled orders, one row each. Kept for good, so that a cancellation also applies to an order that arrives later.
CREATE TABLE order_cancellations (
    order_id         text        NOT NULL,
    reason           text        NOT NULL DEFAULT '',  -- The word of the shop; empty if it gave none.
    outcome          text,
    due_at           timestamptz,  -- When the loop looks at the order next. NULL: the order has not arrived, or the outcome is known.
    tries            integer     NOT NULL DEFAULT 0,  -- How often the loop has looked, for the backoff.
    record_topic     text        NOT NULL,
    record_partition integer     NOT NULL,
    record_offset    bigint      NOT NULL,
    recorded_at      timestamptz,  -- Timestamp of the record. NULL: it has none.
    created_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    CONSTRAINT order_cancellations_pkey PRIMARY KEY (order_id),
    CONSTRAINT order_cancellations_finished_has_an_outcome CHECK ((outcome IS NULL) = (finished_at IS NULL)),
    CONSTRAINT order_cancellations_order_id_is_1_to_64_printable CHECK (order_id ~ '^[\x21-\x7e]{1,64}$'),
    CONSTRAINT order_cancellations_outcome_is_known CHECK (outcome = ANY (ARRAY['canceled', 'refunded', 'too_late', 'nothing_paid']))
);
CREATE INDEX order_cancellations_due ON order_cancellations (due_at) WHERE due_at IS NOT NULL;

-- Keys of the HTTP API. Only their hashes are stored.
CREATE TABLE api_keys (
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    client     text        NOT NULL,  -- The name under which requests with this key appear in the audit.
    prefix     text        NOT NULL,  -- First characters of the key, to recognize it by. Not secret.
    hash       bytea       NOT NULL,  -- SHA-256 of the key.
    scopes     text[]      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_hash_is_unique UNIQUE (hash),
    CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT api_keys_scopes_are_known CHECK (scopes <@ ARRAY['read', 'checkout', 'refund', 'admin'] AND cardinality(scopes) > 0)
);

-- Stored responses by Idempotency-Key, so that a repeated request gets the same response. Kept for 48 h; 24 h are promised.
CREATE TABLE idempotency_keys (
    client      text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL,  -- SHA-256 of the request. The same key with another request is refused.
    result      json        NOT NULL,  -- The stored result, from which the response is written again.
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (client, key),
    CONSTRAINT idempotency_keys_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

-- Changes that a person or an API key requested. Only inserted into.
CREATE TABLE audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    client     text        NOT NULL,  -- Client of the API key, or cli: and the name of the person on that machine.
    key_id     uuid,  -- api_keys.id. NULL: the command line.
    address    text        NOT NULL DEFAULT '',  -- IP address of the caller; empty for the command line.
    action     text        NOT NULL,
    payment_id uuid,
    detail     jsonb       NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT audit_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_of_payment ON audit (payment_id) WHERE payment_id IS NOT NULL;

-- Signs the cursors of lists. Created by the migration, so that all replicas share it without configuration. One row.
CREATE TABLE cursor_key (
    id  boolean NOT NULL DEFAULT true,
    key bytea   NOT NULL,
    CONSTRAINT cursor_key_pkey PRIMARY KEY (id),
    CONSTRAINT cursor_key_is_one_row CHECK (id),
    CONSTRAINT cursor_key_is_sha256 CHECK (octet_length(key) = 32)
);

-- Oldest SCHEMA_REVISION_NEEDED of a service that still works on this schema. A later migration may raise it. One row.
CREATE TABLE schema_minimum (
    id       boolean NOT NULL DEFAULT true,
    revision integer NOT NULL,
    CONSTRAINT schema_minimum_pkey PRIMARY KEY (id),
    CONSTRAINT schema_minimum_is_one_row CHECK (id)
);

-- Ledger of the provider bank_transfer: payments that a customer may make by bank transfer. Amounts are in minor units.
CREATE TABLE bank_intents (
    reference  text        NOT NULL,  -- ISO 11649 creditor reference, derived from the id of the payment.
    payment_id uuid        NOT NULL,
    amount     bigint      NOT NULL,
    currency   text        NOT NULL,
    status     text        NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,  -- When the money was booked, or the intent canceled.
    CONSTRAINT bank_intents_pkey PRIMARY KEY (reference),
    CONSTRAINT bank_intents_one_per_payment UNIQUE (payment_id),
    CONSTRAINT bank_intents_amount_in_range CHECK (amount >= 1 AND amount <= '999999999999'::bigint),
    CONSTRAINT bank_intents_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT bank_intents_ended_has_a_time CHECK ((status = 'pending') = (ended_at IS NULL)),
    CONSTRAINT bank_intents_status_is_known CHECK (status = ANY (ARRAY['pending', 'succeeded', 'canceled']))
);
CREATE INDEX bank_intents_by_time ON bank_intents (created_at, reference);

-- Ledger of the provider bank_transfer: incoming transfers, once each. Amounts are in minor units.
CREATE TABLE bank_transfers (
    account        text        NOT NULL,  -- IBAN of the shop.
    transaction_id text        NOT NULL,  -- The id that the bank gave the transaction.
    amount         bigint      NOT NULL,
    currency       text        NOT NULL,
    booked_on      date        NOT NULL,
    text           text        NOT NULL,  -- What the customer wrote, with card numbers masked.
    outcome        text        NOT NULL DEFAULT '',  -- Type of the resulting event. transfer.unmatched: no reference of this service; needs attention.
    reference      text,  -- bank_intents.reference of the intent that the transfer names.
    created_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT bank_transfers_pkey PRIMARY KEY (account, transaction_id),
    CONSTRAINT bank_transfers_amount_in_range CHECK (amount >= 1 AND amount <= '999999999999'::bigint),
    CONSTRAINT bank_transfers_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$')
);
CREATE INDEX bank_transfers_unmatched ON bank_transfers (transaction_id) WHERE outcome = 'transfer.unmatched';

-- Ledger of the provider bank_transfer: transfers that the shop has to send back. Amounts are in minor units.
CREATE TABLE bank_refunds (
    refund_id  uuid        NOT NULL,  -- refunds.id.
    payment_id uuid        NOT NULL,
    reference  text        NOT NULL,
    amount     bigint      NOT NULL,
    currency   text        NOT NULL,
    status     text        NOT NULL DEFAULT 'pending',
    failure    text        NOT NULL DEFAULT '',  -- Why the transfer failed; empty if it did not.
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT bank_refunds_pkey PRIMARY KEY (refund_id),
    CONSTRAINT bank_refunds_of_an_intent FOREIGN KEY (reference) REFERENCES bank_intents(reference),
    CONSTRAINT bank_refunds_amount_in_range CHECK (amount >= 1 AND amount <= '999999999999'::bigint),
    CONSTRAINT bank_refunds_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT bank_refunds_status_is_known CHECK (status = ANY (ARRAY['pending', 'succeeded', 'failed']))
);
CREATE INDEX bank_refunds_of_intent ON bank_refunds (reference);

-- Payments with amounts in major units and the derived status, as the API returns them.
CREATE VIEW payments_decimal AS
 SELECT id,
    order_id,
    user_id,
    provider,
    provider_payment_id,
    in_major_units(amount, currency) AS amount,
    in_major_units(captured, currency) AS amount_captured,
    in_major_units(refunded, currency) AS amount_refunded,
    currency,
    derived_status(status, captured, refunded) AS status,
    payment_method_id,
    payment_method_type,
    metadata,
    created_at,
    updated_at,
    capture_method,
    expires_at
   FROM payments;

-- Refunds with amounts in major units, as the API returns them.
CREATE VIEW refunds_decimal AS
 SELECT id,
    payment_id,
    status,
    in_major_units(amount, currency) AS amount,
    currency,
    reason,
    failure_code,
    external,
    provider,
    provider_refund_id,
    metadata,
    created_at,
    updated_at
   FROM refunds;

-- Disputes with amounts in major units, as the API returns them.
CREATE VIEW disputes_decimal AS
 SELECT id,
    payment_id,
    status,
    in_major_units(amount, currency) AS amount,
    currency,
    reason,
    evidence_due_at AS evidence_due_by,
    provider,
    provider_dispute_id,
    created_at,
    updated_at
   FROM disputes;
