"""A payment provider without a remote side: customers transfer money to the shop's account, and name a reference.

What a provider keeps on its servers stands here in a ledger of its own, in the service's database: intents, transfers, refunds.
"""
