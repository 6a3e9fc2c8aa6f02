"""The API may be called by a page of any origin, as api.stripe.com may: its keys guard it, no cookie does."""

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
    "Access-Control-Max-Age": "300",  # seconds; as long as Stripe's
}
