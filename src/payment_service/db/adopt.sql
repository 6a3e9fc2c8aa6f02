-- name: missing_columns
SELECT v.name
FROM unnest(%(names)s::text[]) AS v (name)
WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(%(table)s) AND a.attname = v.name AND NOT a.attisdropped)

-- name: renames
-- The tables, and their indexes, whose names would stand in the way of ours.
SELECT format('ALTER INDEX %I RENAME TO %I', c.relname, left('model_' || c.relname, 63))
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid IN (to_regclass('payments'), to_regclass('payment_events'))
UNION ALL
SELECT format('ALTER TABLE %I RENAME TO %I', relname, 'model_' || relname)
FROM pg_class
WHERE oid IN (to_regclass('payments'), to_regclass('payment_events'))

-- name: judge
-- What becomes of every row of the model's, decided anew by each run from nothing but these rows, so that a run that was killed
-- is gone on with by the next. Amounts are compared as they are written, never rounded: of a float the shortest text that names it.
-- `weight`: 0 money was taken, 1 and given back, 2 open, 3 declined and perhaps still open at the provider, 9 never to be paid.
-- Of several payments of an order that are not of weight 9, the lightest is the order's own, of those the newest.
CREATE TEMP TABLE verdicts AS
WITH read AS (
    SELECT id, order_id::text AS order_id, provider::text AS provider, nullif(provider_payment_id::text, '') AS intent_id, status::text AS was,
           amount::text AS written, amount::text::numeric AS amount, lower(currency::text) AS currency, created_at::timestamptz AS created_at
    FROM {payments}
), weighed AS (
    SELECT r.*, r.amount * c.factor AS minor,
           CASE WHEN r.was IN ('succeeded', 'partially_refunded') THEN 0 WHEN r.was = 'refunded' THEN 1 WHEN r.was = 'pending' THEN 2
                WHEN r.was = 'failed' AND r.intent_id IS NOT NULL THEN 3 WHEN r.was = 'failed' THEN 9 END AS weight,
           CASE WHEN r.order_id IS NULL OR r.order_id !~ '^[\x21-\x7e]{{1,64}}$' THEN 'order_id_missing'
                WHEN r.provider IS DISTINCT FROM 'stripe' THEN 'unknown_provider'
                WHEN r.was IS NULL OR r.was NOT IN ('pending', 'succeeded', 'failed', 'refunded', 'partially_refunded') THEN 'unknown_status'
                WHEN c.code IS NULL THEN 'unknown_currency'
                WHEN r.amount IS NULL THEN 'amount_missing'
                WHEN r.amount <= 0 THEN 'amount_not_positive'
                WHEN r.amount * c.factor > 999999999999 THEN 'amount_too_large'
                WHEN r.amount * c.factor <> trunc(r.amount * c.factor) THEN 'amount_has_too_many_decimals'
                WHEN r.intent_id !~ '^[A-Za-z0-9_-]{{1,255}}$' THEN 'intent_id_malformed'
                WHEN r.intent_id IS NULL AND r.was <> 'failed' THEN 'intent_id_missing'
           END AS problem
    FROM read r
    LEFT JOIN unnest(%(codes)s::text[], %(factors)s::bigint[]) AS c (code, factor) ON c.code = r.currency
), single AS (
    SELECT w.*, w.problem IS NULL AND (w.intent_id IS NULL OR row_number() OVER of_intent = 1) AS good, first_value(w.id) OVER of_intent AS owner
    FROM weighed w
    WINDOW of_intent AS (PARTITION BY w.intent_id, w.problem IS NULL ORDER BY w.weight, w.created_at DESC, w.id)
), chosen AS (
    SELECT s.*, s.good AND (s.weight = 9 OR row_number() OVER of_order = 1) AS taken, first_value(s.id) OVER of_order AS own
    FROM single s
    WINDOW of_order AS (PARTITION BY s.order_id, s.good AND s.weight < 9 ORDER BY s.weight, s.created_at DESC, s.id)
)
SELECT id, order_id, intent_id, was, written, currency, weight, CASE WHEN taken THEN minor::bigint END AS minor,
       CASE WHEN taken THEN row_number() OVER (PARTITION BY order_id, taken ORDER BY weight < 9, created_at, id) END AS n,
       CASE WHEN taken THEN row_number() OVER (PARTITION BY taken ORDER BY order_id, id) END AS place,
       CASE weight WHEN 2 THEN 'pending' WHEN 3 THEN 'declined' WHEN 9 THEN 'failed' ELSE 'succeeded' END AS status,
       CASE WHEN taken THEN NULL WHEN problem IS NOT NULL THEN problem WHEN NOT good THEN 'intent_id_twice'
            WHEN weight <= 1 THEN 'money_beside_another_payment' ELSE 'open_beside_another_payment' END AS reason,
       CASE WHEN taken OR problem IS NOT NULL THEN NULL WHEN NOT good THEN owner ELSE own END AS beside
FROM chosen

-- name: index_verdicts
CREATE INDEX ON verdicts (place);
ANALYZE verdicts

-- name: last_place
SELECT coalesce(max(place), 0) FROM verdicts

-- name: take
-- A payment keeps its id. What is known to have ended is no news any more: its fact outweighs whatever else may come late. What the
-- model calls failed may still be paid at the provider, as long as there is an intent.
WITH taken AS (
    INSERT INTO payments (id, order_id, n, provider, provider_payment_id, amount, currency, captured, refunded, status, payment_method_id,
                          payment_method_type, metadata, fact_rank, fact_at, fact_precedence, fact_source, order_topic, order_partition,
                          order_offset, created_at, updated_at)
    SELECT v.id, v.order_id, v.n, 'stripe', v.intent_id, v.minor, v.currency, CASE WHEN v.weight <= 1 THEN v.minor ELSE 0 END,
           CASE v.weight WHEN 1 THEN v.minor ELSE 0 END, v.status, m.payment_method_id, m.payment_method_type, coalesce(m.metadata::jsonb, '{{}}'),
           k.rank, CASE k.rank WHEN 2 THEN extract(epoch FROM coalesce(m.updated_at, m.created_at, now()))::bigint END,
           CASE k.rank WHEN 2 THEN 0 END, CASE k.rank WHEN 2 THEN 'adopted' END, 'model_payments', 0, 0, coalesce(m.created_at, now()),
           coalesce(m.updated_at, m.created_at, now())
    FROM verdicts v
    JOIN model_payments m ON m.id = v.id
    CROSS JOIN LATERAL (SELECT CASE WHEN v.weight NOT IN (2, 3) THEN 2 END AS rank) k
    WHERE v.place > %(after)s AND v.place <= %(until)s AND NOT EXISTS (SELECT FROM payments p WHERE p.id = v.id)
    ORDER BY v.place
    ON CONFLICT DO NOTHING
    RETURNING id, status, updated_at
), told AS (
    INSERT INTO payment_history (payment_id, from_status, to_status, cause, occurred_at)
    SELECT id, 'created', status, 'adopted', updated_at FROM taken
)
SELECT v.id, v.intent_id, v.was
FROM taken
JOIN verdicts v ON v.id = taken.id
WHERE v.place > %(after)s AND v.place <= %(until)s  -- the index, not all of them in each batch
ORDER BY v.place

-- name: others
-- Intents beside the order's own payment that may still be paid, and are no payment's own.
SELECT v.beside AS id, v.intent_id
FROM verdicts v
JOIN payments own ON own.id = v.beside
WHERE v.reason = 'open_beside_another_payment' AND NOT EXISTS (
    SELECT FROM payments p WHERE p.provider = 'stripe' AND p.provider_payment_id = v.intent_id)
ORDER BY v.order_id, v.id

-- name: enqueue
INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, api_version, due_at)
SELECT id, payment_id, 'stripe', kind, cause, method, path, body, api_version, now() + delay_ms * interval '1 ms'
FROM unnest(%(ids)s::uuid[], %(payments)s::uuid[], %(kinds)s::text[], %(causes)s::text[], %(methods)s::text[], %(paths)s::text[], %(bodies)s::text[],
            %(versions)s::text[], %(delays)s::bigint[]) AS v (id, payment_id, kind, cause, method, path, body, api_version, delay_ms)
ON CONFLICT (id) DO NOTHING

-- name: not_inserted
-- Where the service has begun an order of its own since, an earlier run that was corrected comes too late.
UPDATE verdicts v SET reason = 'order_has_a_payment_already', place = NULL
WHERE v.place IS NOT NULL AND NOT EXISTS (SELECT FROM payments p WHERE p.id = v.id)

-- name: write_report
-- Of those that are to be taken, the ones that are not yet: an order that comes again before they are must not be paid twice.
INSERT INTO model_adoption_report (payment_id, order_id, status, amount, currency, provider_payment_id, reason, beside)
SELECT id, order_id, was, written, currency, intent_id, coalesce(reason, 'not_taken_yet'), beside
FROM verdicts v
WHERE reason IS NOT NULL OR NOT EXISTS (SELECT FROM payments p WHERE p.id = v.id)
ORDER BY reason, order_id, id

-- name: sums
SELECT currency, count(*) AS payments, sum(minor)::bigint AS amount, coalesce(sum(minor) FILTER (WHERE weight <= 1), 0)::bigint AS captured,
       coalesce(sum(minor) FILTER (WHERE weight = 1), 0)::bigint AS refunded
FROM verdicts WHERE place IS NOT NULL GROUP BY currency ORDER BY currency

-- name: reasons
SELECT reason, count(*) AS payments FROM verdicts WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason

-- name: differences
-- Row by row and in sum, in the model's own unit: what stands here against what stood there.
SELECT count(*) FILTER (WHERE in_major_units(p.amount, p.currency) IS DISTINCT FROM m.amount::text::numeric) AS rows,
       coalesce(sum(in_major_units(p.amount, p.currency)), 0) - coalesce(sum(m.amount::text::numeric), 0) AS difference
FROM verdicts v
JOIN model_payments m ON m.id = v.id
JOIN payments p ON p.id = v.id
WHERE v.place IS NOT NULL

-- name: recent_events
SELECT id, payment_id, payload::text AS payload, processed, created_at
FROM {events}
WHERE created_at > %(since)s AND provider_event_id IS NOT NULL AND (%(after)s::uuid IS NULL OR id > %(after)s)
ORDER BY id
LIMIT %(limit)s

-- name: keep_events
-- One that was not processed there is work here.
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, processed_at, result, retry_at, verified_by,
                            verified_at, occurred_at, created_at)
SELECT p.id, v.event_type, 'stripe', v.event_id, v.payload, v.processed, CASE WHEN v.processed THEN now() END, 'adopted',
       CASE WHEN NOT v.processed THEN now() END, 'adopted', v.created_at, to_timestamp(v.occurred_at), v.created_at
FROM unnest(%(payments)s::uuid[], %(types)s::text[], %(ids)s::text[], %(payloads)s::jsonb[], %(processed)s::boolean[], %(occurred)s::bigint[],
            %(created)s::timestamptz[]) AS v (payment_id, event_type, event_id, payload, processed, occurred_at, created_at)
LEFT JOIN payments p ON p.id = v.payment_id
ORDER BY v.event_id
ON CONFLICT (provider, provider_event_id, occurred_at) DO NOTHING
