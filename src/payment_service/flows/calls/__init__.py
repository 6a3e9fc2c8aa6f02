"""Calls to the provider: claim operations, send them, interpret the outcomes and record the results.

It may import `flows/state`. Start with `dispatch.py`. `outcomes.py` is the pure part.
"""
