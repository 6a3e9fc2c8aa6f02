"""The configuration: environment variables, secret files and librdkafka properties, validated once at the start.

`config` has all settings. `sections` has the parts that a command may read alone, and the base class. The package imports
`domain` only. Start reading at `config`.
"""
