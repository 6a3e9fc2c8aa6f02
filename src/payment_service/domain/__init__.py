"""The domain: money, ids, orders, and the state machines of payments, refunds and disputes. Pure.

It imports the standard library and itself, and nothing that does I/O. Start with `payment.py:apply`.
"""
