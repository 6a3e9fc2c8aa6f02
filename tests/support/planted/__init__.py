"""Plant differences between Stripe and our rows among many payments, at random places.

`templates.py` makes a payment of each shape through the service and the sandbox. `store.py` copies them in bulk: rows by SQL,
objects into the state file of the sandbox. `kinds.py` lists the kinds of differences. `plan.py` says which copy has which
difference, and what a run must find.
"""
