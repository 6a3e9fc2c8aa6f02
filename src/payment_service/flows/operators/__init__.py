"""Changes that operators start: what needs attention, quarantine and republishing.

It may import every other package of the flows except `flows/timers`. Start with `attention.py`.
"""
