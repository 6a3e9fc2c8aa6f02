-- The tables of the order service. `payment_records` makes repetitions harmless: it is written in the transaction that changes
-- the order.
CREATE TABLE IF NOT EXISTS shop_orders (
    order_id text PRIMARY KEY,
    status text NOT NULL DEFAULT 'new',
    paid text NOT NULL DEFAULT '',
    refunded text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS payment_records (
    ce_id text PRIMARY KEY,
    order_id text NOT NULL REFERENCES shop_orders,
    topic text NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS payment_records_order_id ON payment_records (order_id);
-- Tasks for people or other parts of the shop.
CREATE TABLE IF NOT EXISTS tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id text NOT NULL REFERENCES shop_orders,
    what text NOT NULL,
    because text NOT NULL
);
CREATE TABLE IF NOT EXISTS refused_records (
    topic text,
    partition integer,
    "offset" bigint,
    why text NOT NULL,
    value bytea,
    PRIMARY KEY (topic, partition, "offset")
);
