"""The HTTP layer of Stripe's API: keys, form encoding, parameters, headers, idempotency, rate limits.

May import `state` and `errors`. It covers the format of requests, not their effects.
Start with `parameters`, the types of every schema, and `forms`, the decoder.
"""
