#!/bin/sh
# Send a correctly signed event for a payment that exists (of ORDER_ID, else the latest), and show what becomes of it:
#
#   scripts/test-payment-webhook.sh [ORDER_ID] [--succeed]
#
# It says what the service knows already and so changes nothing; with --succeed that the payment is paid, though Stripe knows
# nothing of that (refused with a live key). Exits 0 when the event was applied.
#
# With DB_DSN and STRIPE_WEBHOOK_SECRET (or DB_DSN_FILE and so on) in the environment it works from here, by default on
# http://127.0.0.1:SERVICE_PORT; else inside the service of compose.yaml, through nginx. TARGET_URL names another address.
# Secrets are never on a command line. In Kubernetes: kubectl exec -i deploy/… -- python - <scripts/send_webhook.py
set -eu
cd "$(dirname "$0")/.."

if [ -n "${DB_DSN:-}${DB_DSN_FILE:-}" ]; then
    exec .venv/bin/python scripts/send_webhook.py "$@"
fi
exec ${COMPOSE:-docker compose} exec -T --env "TARGET_URL=${TARGET_URL:-http://nginx:8080/webhooks/stripe}" \
    payment-service python - "$@" <scripts/send_webhook.py
