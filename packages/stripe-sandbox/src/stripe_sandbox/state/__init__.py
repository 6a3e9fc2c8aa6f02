"""State: an in-memory store, its durable journal, the clock, timers and the ledger.

May import `errors` only. It stores rows and contains none of Stripe's rules.
Start with `store`, then read `unit_of_work`, the context in which every operation runs.
"""
