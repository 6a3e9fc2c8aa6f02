"""A real PostgreSQL and a real Kafka-protocol broker, from wheels, for `payment-service demo` and the tests.

Nothing that runs in production imports this package; import-linter keeps it so. Needs the extra `embedded`.
"""
