"""Fault injection: rules, latency, outages, broken connections and webhook faults.

May import `wire`, `state` and `errors`. Faults act on requests, responses and deliveries.
Start with `rules.Plan`, the body of `POST /sandbox/faults`, then read `injection`.
"""
