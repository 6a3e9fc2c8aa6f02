"""Identify the sender of a request: the session of a login here, or the headers of a trusted proxy."""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from payment_service.db import page_sessions
from payment_service.domain.guard import clean
from payment_service.pages.permissions import Person, Role

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from payment_service.db.pool import Pool
    from payment_service.pages.site import Parts

SESSION_COOKIE: Final = "payment_service_pages"
NAME_MAX: Final = 64
# The headers of oauth2-proxy: https://oauth2-proxy.github.io/oauth2-proxy/configuration/overview (--pass-user-headers, and
# --set-xauthrequest behind nginx's auth_request).
_PROXY_HEADERS: Final = (
    ("x-forwarded-email", "x-forwarded-user", "x-forwarded-groups"),
    ("x-auth-request-email", "x-auth-request-user", "x-auth-request-groups"),
)


class KeepPeer:
    """Middleware that notes the address of the connection, before proxy headers replace it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        peer = scope["client"][0] if scope.get("client") else ""
        await self._app({**scope, "state": {**scope.get("state", {}), "peer": peer}}, receive, send)


async def identify(request: Request, parts: Parts) -> Person | None:
    """Return the person, or None if nobody is logged in. A proxy's headers take precedence over a session."""
    config = parts.config
    if "proxy" in config.admin_login and _is_trusted(request.state.peer, config.trusted_proxies):
        families = [family for family in _PROXY_HEADERS if any(name in request.headers for name in family)]
        if len(families) > 1:
            return None  # a proxy sets one family, so the sender made up the other
        for email, user, groups in families:
            if name := read_name(request.headers.get(email) or request.headers.get(user) or ""):
                return Person(name, roles_of(request.headers.get(groups, "").split(","), config.roles_by_group))
    return await _from_session(request, parts.reads)


def roles_of(groups: Iterable[str], roles_by_group: Mapping[str, frozenset[str]]) -> frozenset[Role]:
    """Return the roles that groups give. Other groups give none."""
    return frozenset(Role(role) for group in groups for role in roles_by_group.get(group.strip(), ()))


def read_name(text: str) -> str:
    """Return a person's name as the audit stores it, or nothing if it has none that can be shown."""
    name = unicodedata.normalize("NFC", text.strip())
    return name if 0 < len(name) <= NAME_MAX and name.isprintable() and clean(name) == name else ""


async def log_in(request: Request, pool: Pool, name: str, roles: Iterable[str]) -> None:
    """Begin a new session for a person. Its cookie has only the id, so ending the row ends the session."""
    request.session.clear()
    request.session["id"] = await page_sessions.begin(pool, person=name, roles=roles)


async def log_out(request: Request, pool: Pool) -> None:
    """End the session, also for a copy of its cookie."""
    session_id: str = request.session.get("id", "")
    request.session.clear()
    if session_id:
        await page_sessions.end(pool, session_id)


async def _from_session(request: Request, pool: Pool) -> Person | None:
    session_id: str = request.session.get("id", "")
    owner = await page_sessions.find(pool, session_id) if session_id else None
    return Person(owner.person, frozenset(map(Role, owner.roles)), session_id) if owner else None


def _is_trusted(peer: str, proxies: Iterable[str]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(proxy) for proxy in proxies)
