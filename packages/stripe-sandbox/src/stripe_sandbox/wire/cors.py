"""CORS headers: pages of any origin may call the API, as with api.stripe.com. Keys protect it, not cookies."""

from __future__ import annotations

from typing import Final

HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Idempotent-Replayed, Original-Request, Request-Id, Retry-After, Stripe-Should-Retry",
}
PREFLIGHT: Final = {
    **HEADERS,
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, Idempotency-Key, Stripe-Account, Stripe-Version",
    "Access-Control-Allow-Methods": "GET, HEAD, PUT, PATCH, POST, DELETE",
    "Access-Control-Max-Age": "300",  # seconds, as at Stripe
}
