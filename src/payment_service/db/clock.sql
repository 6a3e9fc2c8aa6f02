-- name: database_time
SELECT clock_timestamp()
