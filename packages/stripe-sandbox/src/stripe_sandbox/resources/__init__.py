"""Stripe's objects and operations: PaymentIntents, charges, refunds, disputes, events and others.

May import `wire`, `state` and `errors`. An operation takes a unit of work, typed parameters and path parameters, and
returns a reply. It performs no I/O: the caller commits the unit of work.
Start with `transitions`, the PaymentIntent's state machine, then read `intents` and `payment_attempts`.
"""
