"""Reconciliation: compare provider, database and topics, repair what is certain, and report the rest.

A run compares a window in small steps (`engine.py`). Each comparison (`comparison.py`) yields differences. The comparison
with the provider lists its objects (`provider_objects.py`), judges them without I/O (`judgments.py`) and repairs our rows
through the fold (`repairs.py`). Events that never arrived are applied as a webhook does (`missing_events.py`). It may import every other package of the flows. Start with `engine.py`.
"""
