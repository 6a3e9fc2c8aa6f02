"""Changes that API clients and operators request: refund, capture, cancel, open a payment and read a checkout.

Each change runs once under its idempotency key. The package may import `flows/intake`, `flows/calls` and `flows/state`,
but not `flows/webhooks`. Start with `idempotency.py`, then `refund.py`.
"""
