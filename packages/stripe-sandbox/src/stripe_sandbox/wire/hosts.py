"""The `Host` header: the names by which clients may call the sandbox.

The pages and the control API require no key. A web page elsewhere could point its own name at this machine (DNS
rebinding); the browser then takes the sandbox for a part of that site. Such a request carries the page's name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from stripe_sandbox.errors import ApiError

SHOWN_CHARS = 100  # of a name, in the message
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:[0-9]*)?")


class AllowedHosts:
    """This machine, every IP address, and `names`. Only a name can be rebound, so addresses are harmless."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in names) | {"localhost"}

    def check(self, header: str | None) -> None:
        """Accept a request without the header: browsers always send it. Raises `ApiError` 403."""
        if header is not None and not self._allows(name := _name(header)):
            raise _foreign(name or header)

    def _allows(self, name: str) -> bool:
        return name in self._names or name.endswith(".localhost") or _is_address(name)


def _name(header: str) -> str:
    """Return the name in lower case without the port; empty if the header is malformed."""
    found = _HOST.fullmatch(header)
    return found["name"].strip("[]").lower().rstrip(".") if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _foreign(name: str) -> ApiError:
    shown = name[:SHOWN_CHARS]
    return ApiError(
        403,
        f"The sandbox does not answer to the host name '{shown}': otherwise a web page could control it by DNS rebinding."
        f" If the name is yours, start the sandbox with --allowed-host {shown or 'NAME'} or call it by its address.",
    )
