-- name: left_behind
SELECT provider, count(*) AS calls FROM operations WHERE state = 'due' AND provider <> ALL ($1::text[]) GROUP BY provider ORDER BY provider
