"""Intake from Kafka: orders become payments, cancellations become rows, and rejected records go into quarantine.

It may import `flows/calls` and `flows/state`. Start with `orders.py`.
"""
