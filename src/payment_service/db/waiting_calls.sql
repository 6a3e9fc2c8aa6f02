-- name: waiting
-- The oldest unfinished call of each provider, and how many there are (at most 100,000 rows are read). Its age counts from the
-- request: no retry moves it, and a call that is under way counts. Left out: reads and strays, for which nobody waits, and refunds
-- that wait for our balance at the provider, which have a gauge of their own. $1: seconds of the least age.
SELECT DISTINCT ON (o.provider) o.provider, o.kind, coalesce(o.outcome, '') AS outcome, coalesce(o.outcome_code, '') AS code,
       extract(epoch FROM now() - o.created_at)::float8 AS age_s, count(*) OVER (PARTITION BY o.provider) AS calls
FROM (
    SELECT provider, kind, outcome, outcome_code, created_at
    FROM (SELECT * FROM operations WHERE state = 'claimed' UNION ALL SELECT * FROM operations WHERE state = 'due') u
    WHERE kind <> 'retrieve' AND cause NOT LIKE 'stray:%' AND outcome IS DISTINCT FROM 'balance_too_low'
    LIMIT 100000
) o
WHERE o.created_at <= now() - $1 * interval '1 s'
ORDER BY o.provider, o.created_at
