"""Authentication for `/v1`: `Authorization: Bearer psk_…`, never in the query. All refused keys get the same response."""

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

# A revoked key is refused after at most this time. A busy caller costs one query per interval.
CACHE_S: Final = 5.0
CACHE_MAX: Final = 1_024
# Invalid keys that one address may send in a burst, and then one per so many seconds. A person who mistypes needs a few
# attempts; a broken program must slow down. Valid keys from the same address are never refused for this reason.
BAD_KEYS_BURST: Final = 20
BAD_KEY_EVERY_S: Final = 3.0
# A subscriber commonly has a whole /64 of IPv6.
_IPV6_PREFIX: Final = 64

FindClient = Callable[[str], Awaitable[Client | None]]


class Authenticator:
    """Authenticates API keys, caches valid ones for a short time, and rate-limits addresses that send invalid ones."""

    def __init__(self, find: FindClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._cache: OrderedDict[str, tuple[Client, float]] = OrderedDict()
        self._bad_keys = RateLimiter(burst=BAD_KEYS_BURST, every_s=BAD_KEY_EVERY_S, clock=clock)

    async def authenticate(self, key: str | None, address: str) -> Client:
        """Return the client that owns this key. Raises Problem: 401, or 429 after many invalid keys."""
        client = await self._look_up(key) if key is not None and api_keys.is_well_formed(key) else None
        if client is not None:
            return client
        # A request without a key guesses nothing, so it does not count.
        if key is not None and (wait_s := self._bad_keys.spend(_network(address))):
            raise Problem(
                TOO_MANY, f"Too many invalid API keys: wait {wait_s} s.", headers={"Retry-After": str(wait_s)}
            )
        detail = "Send a valid API key as `Authorization: Bearer psk_…`."
        raise Problem(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})

    async def _look_up(self, key: str) -> Client | None:
        now = self._clock()
        client, until = self._cache.get(key, (None, now))
        if client is not None and now < until:
            return client
        self._cache.pop(key, None)
        client = await self._find(key)
        if client is not None:
            self._cache[key] = (client, now + CACHE_S)
            if len(self._cache) > CACHE_MAX:
                self._cache.popitem(last=False)
        return client


def authenticator_for(pool: Pool) -> Authenticator:
    """Authenticate keys against the database."""
    return Authenticator(lambda key: api_keys.find(pool, key))


SCOPES: Final = {
    Scope.READ: "reads payments, refunds and related objects",
    Scope.CHECKOUT: "lets customers pay",
    Scope.REFUND: "makes refunds, captures and cancellations",
    Scope.ADMIN: "all of these",
}
_bearer: Final = HTTPBearer(
    auto_error=False,
    scheme_name="api_key",
    description="`payment-service keys create --client shop --scope read` prints a key once. Scopes: "
    + "; ".join(f"`{scope}`: {does}" for scope, does in SCOPES.items()),
)


def require(authenticator: Authenticator, scope: Scope) -> Callable[..., Awaitable[Client]]:
    """Return a dependency that requires a key with `scope` or `admin`."""

    bearer = Security(_bearer, scopes=[scope])

    async def dependency(request: Request, credentials: HTTPAuthorizationCredentials | None = bearer) -> Client:
        single = len(request.headers.getlist("authorization")) == 1
        key = credentials.credentials if credentials is not None and single else None
        client = await authenticator.authenticate(key, request.client.host if request.client else "")
        if not client.may(scope):
            raise Problem(FORBIDDEN, f"This request needs a key with the scope `{scope}` (or `admin`).")
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
