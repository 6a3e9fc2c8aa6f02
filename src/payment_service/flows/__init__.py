"""The flows: every change of a payment, one module per use case.

Flows open the transactions over payments, call the domain's pure functions and write the result. They may import `db`,
`provider`, `contracts` and `domain`, but not `http` or `kafka`. Imports between the packages of this
room point down:

    reconciliation             compares provider and database
    operators | timers         changes by operators and by the clock
    requests | webhooks        changes by API clients and by providers
    intake                     orders and cancellations from Kafka
    calls                      calls to the provider and their results
    state                      the fold, and what all flows share

Start with `state/fold.py`, the only writer of a status. Then read `calls/dispatch.py`.
"""
