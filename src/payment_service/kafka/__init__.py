"""Kafka: the consumer for orders and the relay that publishes the outbox.

`consumer` reads batches and commits offsets after a flow has accepted them. `relay` holds the `lease`, and `publication`
sends records through `producer` in the order that `window` allows.

It may import flows and everything below them, but not `http`. Start reading at `relay` or `consumer`.
"""
