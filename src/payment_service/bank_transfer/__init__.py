"""The provider `bank_transfer`: customers transfer money to the shop's account and name a reference.

It has no remote side. Its ledger in the service's database holds what another provider keeps on its servers: intents,
transfers and refunds. The package owns its settings, tables, privileges, items that need attention, and commands. It may
import every package of the service except `cli`, `doctor` and `http`. Nothing imports it: the service finds `plugin` and
`cli` by their entry points. Start reading at `plugin`, then `provider`.
"""
