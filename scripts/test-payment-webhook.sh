#!/bin/sh
# Send a signed event for an existing payment (of ORDER_ID, or the latest), and show the result:
#
#   scripts/test-payment-webhook.sh [ORDER_ID] [--succeed]
#
# The event reports a state that the service already has, so it changes nothing. With --succeed it reports the payment as paid,
# although Stripe has no such payment; this is refused with a live key. Exits 0 if the event was applied.
#
# With DB_DSN and STRIPE_WEBHOOK_SECRET (or DB_DSN_FILE, …) in the environment it sends from this machine, by default to
# http://127.0.0.1:SERVICE_PORT. Otherwise it runs inside the service of compose.yaml and sends through nginx. TARGET_URL sets
# another address. Secrets are never on a command line. In Kubernetes: kubectl exec -i deploy/… -- python - <scripts/send_webhook.py
set -eu
cd "$(dirname "$0")/.."

if [ -n "${DB_DSN:-}${DB_DSN_FILE:-}" ]; then
    exec .venv/bin/python scripts/send_webhook.py "$@"
fi
exec ${COMPOSE:-docker compose} exec -T --env "TARGET_URL=${TARGET_URL:-http://nginx:8080/webhooks/stripe}" \
    payment-service python - "$@" <scripts/send_webhook.py
