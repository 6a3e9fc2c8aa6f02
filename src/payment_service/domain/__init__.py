"""The domain: money, ids, orders, and the state machines of payments, refunds and disputes. Pure.

It imports the standard library, `payment_service_events` (money and currencies) and itself, and nothing that does I/O. Start with `payment.py:apply`.
"""
