"""Who calls `/v1`: `Authorization: Bearer psk_…`, never in the query. Every refusal of a key looks the same."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from payment_service.db import api_keys
from payment_service.db.api_keys import Client, Scope
from payment_service.db.pool import Pool
from payment_service.http.problems import FORBIDDEN, TOO_MANY, UNAUTHENTICATED, Problem
from payment_service.rate_limiter import RateLimiter

# A revoked key is refused after this time at the latest; a busy caller costs one query in it.
CACHE_S: Final = 5.0
CACHE_MAX: Final = 1_024
# Bad keys that one address may send in a burst, and then one in how many seconds. A person who mistypes needs a few; a
# program that goes wrong is told to slow down. Good keys from the same address are never refused for it.
BAD_KEYS_BURST: Final = 20
BAD_KEY_EVERY_S: Final = 3.0
# A single subscriber commonly has a whole /64 of IPv6.
_IPV6_PREFIX: Final = 64

Find = Callable[[str], Awaitable[Client | None]]


class Keys:
    """Looks keys up, remembers good ones for a moment, and slows down those who send bad ones."""

    def __init__(self, find: Find, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._known: OrderedDict[str, tuple[Client, float]] = OrderedDict()
        self._bad_keys = RateLimiter(burst=BAD_KEYS_BURST, every_s=BAD_KEY_EVERY_S, clock=clock)

    async def identify(self, key: str | None, address: str) -> Client:
        """Give the client whose key this is. Raises Problem: 401, or 429 after many bad ones."""
        client = await self._look_up(key) if key is not None and api_keys.is_well_formed(key) else None
        if client is not None:
            return client
        # Without any key nothing was guessed.
        if key is not None and (wait_s := self._bad_keys.spend(_network(address))):
            raise Problem(TOO_MANY, f"Too many bad API keys: wait {wait_s} s.", headers={"Retry-After": str(wait_s)})
        detail = "Send a valid API key as `Authorization: Bearer psk_…`."
        raise Problem(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})

    async def _look_up(self, key: str) -> Client | None:
        now = self._clock()
        client, until = self._known.get(key, (None, now))
        if client is not None and now < until:
            return client
        self._known.pop(key, None)
        client = await self._find(key)
        if client is not None:
            self._known[key] = (client, now + CACHE_S)
            if len(self._known) > CACHE_MAX:
                self._known.popitem(last=False)
        return client


def keys_of(pool: Pool) -> Keys:
    """Look keys up in the database."""
    return Keys(lambda key: api_keys.find(pool, key))


SCOPES: Final = {
    Scope.READ: "reads payments, refunds and what hangs on them",
    Scope.CHECKOUT: "lets customers pay",
    Scope.REFUND: "refunds, captures and cancels",
    Scope.ADMIN: "all of these",
}
_bearer: Final = HTTPBearer(
    auto_error=False,
    scheme_name="api_key",
    description="`payment-service keys create --client shop --scope read` prints one, once. Scopes: "
    + "; ".join(f"`{scope}`: {does}" for scope, does in SCOPES.items()),
)


def require(keys: Keys, scope: Scope) -> Callable[..., Awaitable[Client]]:
    """Make a dependency: the caller's key must have `scope`, or `admin`."""

    bearer = Security(_bearer, scopes=[scope])

    async def dependency(request: Request, credentials: HTTPAuthorizationCredentials | None = bearer) -> Client:
        single = len(request.headers.getlist("authorization")) == 1
        key = credentials.credentials if credentials is not None and single else None
        client = await keys.identify(key, request.client.host if request.client else "")
        if not client.may(scope):
            raise Problem(FORBIDDEN, f"This needs a key with the scope `{scope}` (or `admin`).")
        return client

    return dependency


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address
