-- API keys with their limits, and the hash chain over the audit. 0001_comments.sql has the comments.

CREATE TABLE api_keys (
    id                    uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    family                uuid        NOT NULL DEFAULT gen_random_uuid(),
    client                text        NOT NULL,
    prefix                text        NOT NULL,
    hash                  bytea       NOT NULL CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(hash) = 32),
    scopes                text[]      NOT NULL CONSTRAINT api_keys_scopes_are_known CHECK (scopes <@ ARRAY['read', 'checkout', 'refund', 'admin'] AND cardinality(scopes) > 0),
    networks              cidr[]      NOT NULL DEFAULT '{}',
    requests_per_second   integer     CONSTRAINT api_keys_requests_per_second_is_positive CHECK (requests_per_second > 0),
    refunds_per_day       integer     CONSTRAINT api_keys_refunds_per_day_is_not_negative CHECK (refunds_per_day >= 0),
    refund_amounts_per_day jsonb     NOT NULL DEFAULT '{}',
    refund_amounts_max    jsonb       NOT NULL DEFAULT '{}',
    created_at            timestamptz NOT NULL DEFAULT now(),
    expires_at            timestamptz,
    last_used_at          timestamptz,
    revoked_at            timestamptz,
    CONSTRAINT api_keys_hash_is_unique UNIQUE (hash)
);

CREATE TABLE api_key_refunds (
    family  uuid    NOT NULL,
    day     date    NOT NULL,
    refunds integer NOT NULL,
    amounts jsonb   NOT NULL,
    PRIMARY KEY (family, day)
);

CREATE TABLE audit_unsealed (
    audit_id bigint PRIMARY KEY
);

CREATE TABLE audit_chain (
    position  bigint      PRIMARY KEY CONSTRAINT audit_chain_position_counts_from_1 CHECK (position >= 1),
    audit_id  bigint      NOT NULL CONSTRAINT audit_chain_one_link_per_entry UNIQUE,
    hash      bytea       NOT NULL CONSTRAINT audit_chain_hash_is_sha256 CHECK (octet_length(hash) = 32),
    sealed_at timestamptz NOT NULL DEFAULT now()
);
