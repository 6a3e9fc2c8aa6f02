"""The way to the provider: the variables that HTTP clients share, HTTPS_PROXY, HTTP_PROXY, NO_PROXY and SSL_CERT_FILE."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

_PROXY: Final = re.compile(r"http://[^\s/]+/?")
_CA_VARIABLES: Final = (("SSL_CERT_FILE", os.path.isfile, "file"), ("SSL_CERT_DIR", os.path.isdir, "folder"))


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy for requests to `url`, with its credentials; None without one. Raises ValueError."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = getproxies_environment().get(parts.scheme, "")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not _PROXY.fullmatch(proxy):
        raise ValueError(f"{parts.scheme.upper()}_PROXY must be http://host:port, or http://user:password@host:port")
    return proxy


def require_authorities() -> None:
    """Raise ValueError if a variable of OpenSSL names authorities that cannot be read: OpenSSL would trust none, silently."""
    for variable, exists, kind in _CA_VARIABLES:
        path = os.environ.get(variable)
        if path and not (exists(path) and os.access(path, os.R_OK)):
            raise ValueError(f"{variable} must name a readable {kind} of certificates")
