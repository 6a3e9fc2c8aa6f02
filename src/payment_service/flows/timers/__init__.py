"""Changes that the clock starts: expiry of unpaid payments, and cancellation of payments whose order was canceled.

It may import every other package of the flows except `flows/operators`. Start with `expiry.py`.
"""
