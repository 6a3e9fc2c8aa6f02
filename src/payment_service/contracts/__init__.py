"""Contracts with other programs: Kafka records, the API's resources, and the output of `--json`.

`orders` and `cancelled_orders` decode what the service reads; `records` and `values` define what it publishes. `api`,
`timeline` and `operators` define what the API and the command line return. The package imports `domain` only,
and neither database nor providers. Start reading at `records`.
"""
