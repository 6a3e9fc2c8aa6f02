-- name: server
SELECT pg_backend_pid() AS pid, current_setting('server_encoding') AS encoding

-- name: pid
SELECT pg_backend_pid()
