"""The provider `bank_transfer`: customers transfer money to the shop's account and name a reference.

It has no remote side. Its ledger in the service's database holds what another provider keeps on its servers: intents,
transfers and refunds. The package imports `db`, `provider`, `config` and `domain`. Start reading at `provider`.
"""
