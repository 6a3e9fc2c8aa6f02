"""The parts that all flows share: folding facts into payments, batches, refusals and system-initiated operations.

This package is the lowest of the flows and imports no other of them. Start with `fold.py`.
"""
