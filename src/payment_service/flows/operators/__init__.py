"""Changes that operators start: parked items, quarantine and republishing.

It may import every other package of the flows except `flows/timers`. Start with `parked.py`.
"""
