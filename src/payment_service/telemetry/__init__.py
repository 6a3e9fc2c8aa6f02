"""Logs, metrics and error texts.

`logs` masks secrets in every line, `metrics` declares every metric, and `errors` describes exceptions in plain words.
Every package except `domain` may import this one; it imports `domain` only. Start reading at `metrics`.
"""
