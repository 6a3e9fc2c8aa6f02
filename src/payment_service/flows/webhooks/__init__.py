"""Provider events: store them, apply them to payments, and retry events whose payment is not available yet.

It may import `flows/intake`, `flows/calls` and `flows/state`, but not `flows/requests`. Start with `apply.py`.
"""
