"""Implementation of the operators' commands, one module for each group of `cli/`.

`session` opens the database and identifies the operator; `output` prints tables and JSON; `errors` maps exceptions to
messages and exit codes. These modules may import everything except `cli` and the demo. Start reading at
`payments`.
"""
