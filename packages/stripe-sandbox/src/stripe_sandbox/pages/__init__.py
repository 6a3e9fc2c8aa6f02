"""Pages for people: payments, events, webhooks, faults, the clock, a checkout and the 3-D Secure step.

May import `sandbox` and everything below it. Pages run the operations of `resources`; they contain no payment logic.
Start with `routes`, the table of pages, and `site`, the code they share.
"""
