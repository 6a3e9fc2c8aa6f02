"""The HTTP client for Stripe's API, of `serve` and of `doctor`: key, proxy, authorities, connections."""

from __future__ import annotations

from ssl import create_default_context
from typing import TYPE_CHECKING, Final

import aiohttp

from payment_service.config.egress import proxy_for
from payment_service.provider.port import CHECKOUTS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.config.config import Config

# Retrying beats waiting for a server that does not accept a connection within two seconds.
CONNECT_TIMEOUT_S: Final = 2
# Connections in addition to those of operations, for listings and checkouts.
LISTINGS_MAX: Final = 4


def open_client(config: Config, *, traces: Sequence[aiohttp.TraceConfig] = ()) -> aiohttp.ClientSession:
    """Open the client. The caller closes it.

    The proxy is given here. aiohttp's own reading of the environment would also replace our key by one in `~/.netrc`.
    """
    return aiohttp.ClientSession(
        headers={
            "Authorization": f"Bearer {config.stripe_secret_key.get_secret_value()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept-Encoding": "identity",
            "User-Agent": "payment-service",
        },
        connector=aiohttp.TCPConnector(
            limit=config.provider_concurrency + LISTINGS_MAX + CHECKOUTS_MAX,
            keepalive_timeout=15,
            # With the authorities of SSL_CERT_FILE, or of the system. aiohttp has read them at its import.
            ssl=create_default_context() if config.stripe_api_base.startswith("https:") else True,
        ),
        proxy=proxy_for(config.stripe_api_base),
        timeout=aiohttp.ClientTimeout(total=config.provider_timeout_s, sock_connect=CONNECT_TIMEOUT_S),
        trace_configs=list(traces),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
