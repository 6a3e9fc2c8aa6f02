"""The Stripe provider: an adapter over HTTP, and pure modules that translate responses and events into facts.

It may import the port, `plugins`, `config` and `domain`. The entry point `stripe` in `pyproject.toml` loads it.
Start with `adapter.py`, then `responses.py`.
"""
