"""Payment providers: the port, the plugins behind it, and the calls to them.

The port knows no provider. The package may import `domain`, `config` and `telemetry`, but not `db` or `flows`.
Start with `port.py`, then `plugins.py`. `docs/providers.md` shows how to write a provider.
"""
