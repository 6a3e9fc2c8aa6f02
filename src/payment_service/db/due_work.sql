-- name: due_work
-- What is due for the loops that otherwise wait, and at last the seconds that the search took. $1: the providers that run here.
SELECT EXISTS (SELECT FROM payment_events WHERE NOT processed AND retry_at <= now() AND provider = ANY ($1::text[])) AS events,
       EXISTS (SELECT FROM audit_unsealed) AS audit,
       EXISTS (SELECT FROM order_cancellations WHERE due_at <= now()) AS cancellations,
       EXISTS (SELECT FROM payments WHERE expiring_at <= now() AND provider = ANY ($1::text[])) AS expiries,
       EXISTS (SELECT FROM unnest($1::text[]) AS v (provider) CROSS JOIN LATERAL (
                   SELECT FROM polls w WHERE w.provider = v.provider AND w.due_at <= now() LIMIT 1) AS due) AS polls,
       EXISTS (SELECT FROM event_positions WHERE events_due_at <= now() AND provider = ANY ($1::text[])) AS pages,
       extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS took_s
