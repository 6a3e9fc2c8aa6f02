"""Webhook deliveries: planned with the event, signed, sent per endpoint, retried.

May import `faults`, `resources`, `state` and `errors`.
Start with `sender.Sender.plan`, then read `delivery_attempts` for the states of a delivery.
"""
