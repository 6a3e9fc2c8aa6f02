"""Authentication for `/v1`: `Authorization: Bearer psk_…`, never in the query. All refused keys get the same response."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from payment_service.db import api_keys
from payment_service.db.api_keys import Client, Network, Scope
from payment_service.db.pool import TRANSIENT_ERRORS, Pool
from payment_service.http.problems import FORBIDDEN, TOO_MANY, UNAUTHENTICATED, Problem
from payment_service.loop import Loop
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry.errors import describe_error

log = structlog.get_logger(__name__)

# Keys are read again at this age, so a revoked or expired key is refused after at most this time.
KEYS_AGE_MAX_S: Final = 5.0
# An unknown key may be a new one, so the keys are read again: once for all requests that wait, and not more often than this.
READ_INTERVAL_S: Final = 0.1
# Invalid keys that one address may send in a burst, and then one per so many seconds. A person who mistypes needs a few
# attempts; a broken program must slow down. Valid keys from the same address are never refused for this reason.
BAD_KEYS_BURST: Final = 20
BAD_KEY_EVERY_S: Final = 3.0
# `last_used_at` serves people who look for unused keys.
NOTE_INTERVAL_S: Final = 60.0
# At the end of a process, which has 5 s to close connections.
LAST_NOTE_S: Final = 2.0
# A subscriber commonly has a whole /64 of IPv6.
_IPV6_PREFIX: Final = 64

ReadKeys = Callable[[], Awaitable[Mapping[bytes, Client]]]


class ValidKeys:
    """All valid keys, in memory. A request costs no query, whether its key is known or not."""

    def __init__(self, read: ReadKeys, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._keys: Mapping[bytes, Client] = {}
        self._read_at_s = self._failed_at_s = -math.inf
        self._failure: Exception | None = None
        self._reading = asyncio.Lock()

    async def find(self, key: str) -> Client | None:
        """Return the client of a key, or None if the key is unknown, expired or revoked."""
        digest = api_keys.digest(key)
        asked_s = self._clock()
        if asked_s - self._read_at_s > KEYS_AGE_MAX_S:
            await self._read_after(asked_s)
        if digest not in self._keys:
            await self._read_after(asked_s)
        return self._keys.get(digest)

    async def _read_after(self, asked_s: float) -> None:
        """Wait until the keys were read at `asked_s` or later. A failure ends all waits that began before it."""
        async with self._reading:
            if self._read_at_s >= asked_s:
                return
            if self._failure is not None and self._failed_at_s >= asked_s:
                raise self._failure
            await asyncio.sleep(max(0.0, self._read_at_s + READ_INTERVAL_S - self._clock()))
            read_at_s = self._clock()
            try:
                self._keys = await self._read()
            except Exception as error:
                self._failure, self._failed_at_s = error, self._clock()
                raise
            self._read_at_s, self._failure = read_at_s, None


class Authenticator:
    """Authenticates API keys, and limits addresses that send invalid ones. Rates are those of this process alone."""

    def __init__(self, read: ReadKeys, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = ValidKeys(read, clock=clock)
        self._clock = clock
        self._bad_keys = RateLimiter(burst=BAD_KEYS_BURST, every_s=BAD_KEY_EVERY_S, clock=clock)
        self._requests: dict[int, RateLimiter] = {}
        self._used: set[UUID] = set()

    async def authenticate(self, key: str | None, address: str) -> Client:
        """Return the client that owns this key. Raises Problem: 401, 403 for the address, or 429 for too many requests."""
        client = await self._keys.find(key) if key is not None and api_keys.is_well_formed(key) else None
        if client is None:
            raise self._refuse(key, address)
        if client.networks and not _is_within(address, client.networks):
            detail = "This API key may not be used from this address: send the request from an allowed network, or use another key."
            raise Problem(FORBIDDEN, detail)
        self._used.add(client.key_id)
        if client.requests_per_second is not None:
            self._require_rate(client.key_id, client.requests_per_second)
        return client

    def take_used(self) -> set[UUID]:
        """Return the keys that were used since the last call."""
        used, self._used = self._used, set()
        return used

    def put_back(self, used: set[UUID]) -> None:
        """Return keys whose use could not be noted, for the next time."""
        self._used |= used

    def _refuse(self, key: str | None, address: str) -> Problem:
        # A request without a key guesses nothing, so it does not count.
        if key is not None and (wait_s := self._bad_keys.spend(_network(address))):
            detail = f"Too many invalid API keys: wait {wait_s} s."
            return Problem(TOO_MANY, detail, headers={"Retry-After": str(wait_s)})
        detail = "Send a valid API key as `Authorization: Bearer psk_…`."
        return Problem(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})

    def _require_rate(self, key_id: UUID, per_s: int) -> None:
        if per_s not in self._requests:
            self._requests[per_s] = RateLimiter(burst=per_s, every_s=1 / per_s, clock=self._clock)
        if wait_s := self._requests[per_s].spend(str(key_id)):
            detail = f"This API key may send {per_s} requests per second: wait {wait_s} s."
            raise Problem(TOO_MANY, detail, headers={"Retry-After": str(wait_s)})


def authenticator_for(pool: Pool) -> Authenticator:
    """Authenticate keys against the database."""
    return Authenticator(partial(api_keys.read_valid, pool))


class KeyUse:
    """Notes which keys were used: every minute, and when the process ends. Stop it after the server."""

    def __init__(self, pool: Pool, authenticator: Authenticator) -> None:
        self._pool = pool
        self._authenticator = authenticator
        self._loop = Loop("api_key_use", self.note_once, interval_min_s=NOTE_INTERVAL_S, interval_max_s=NOTE_INTERVAL_S)

    def start(self) -> None:
        """Start in a task."""
        self._loop.start()

    async def stop(self) -> None:
        """Stop, and note the use since the last minute. A database that does not answer delays nothing: it is not noted."""
        await self._loop.stop()
        try:
            async with asyncio.timeout(LAST_NOTE_S):
                await self.note_once()
        except (TimeoutError, *TRANSIENT_ERRORS) as error:
            log.warning("api_key_use_not_noted", error=describe_error(error))

    async def note_once(self) -> int:
        """Note the keys that were used since the last call."""
        if used := self._authenticator.take_used():
            try:
                await api_keys.note_use(self._pool, used)
            except BaseException:
                self._authenticator.put_back(used)
                raise
        return 0


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


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return any((mapped or parsed) in network for network in networks)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address
