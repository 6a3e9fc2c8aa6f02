"""The clients. Their methods are generated from openapi.json; sending and retrying is here."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from payment_service_client.async_api import AsyncApi
from payment_service_client.calls import Call, Outcome, printable, wait_s
from payment_service_client.sync_api import SyncApi

if TYPE_CHECKING:
    from typing_extensions import Self

TIMEOUT_S = 10.0
# With the waits between them, four attempts take about two seconds. A restart of the service takes one.
MAX_RETRIES = 3


class PaymentServiceClient(SyncApi):
    """A client for threads. It keeps connections open: use one for all calls, and close it, or use `with`.

    `url` is that of SERVICE_PORT or of the proxy in front of it. `timeout_s` limits each attempt. `http` replaces the
    HTTP client, for a proxy or a private certificate authority. You then set its timeout and close it.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        http: httpx.Client | None = None,
    ) -> None:
        self._url = _base(url)
        self._api_key = printable("The API key", api_key)
        self._max_retries = max_retries
        self._http = http or httpx.Client(timeout=timeout_s)
        self._close_it = http is None

    def close(self) -> None:
        """Close the connections."""
        if self._close_it:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call) -> Any:
        for retry in range(1, self._max_retries + 1):
            outcome = self._attempt(call)
            wait = wait_s(retry, outcome)
            if wait is None:
                return call.result(outcome)
            time.sleep(wait)
        return call.result(self._attempt(call))

    def _attempt(self, call: Call) -> Outcome:
        try:
            return self._http.request(
                call.method,
                self._url + call.path,
                params=call.query,
                json=call.body,
                headers=call.headers(self._api_key),
            )
        except httpx.RequestError as error:
            return error


class AsyncPaymentServiceClient(AsyncApi):
    """The same for asyncio: `await` each call, `async for` each list, `async with` to close it."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        max_retries: int = MAX_RETRIES,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._url = _base(url)
        self._api_key = printable("The API key", api_key)
        self._max_retries = max_retries
        self._http = http or httpx.AsyncClient(timeout=timeout_s)
        self._close_it = http is None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._close_it:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call) -> Any:
        for retry in range(1, self._max_retries + 1):
            outcome = await self._attempt(call)
            wait = wait_s(retry, outcome)
            if wait is None:
                return call.result(outcome)
            await asyncio.sleep(wait)
        return call.result(await self._attempt(call))

    async def _attempt(self, call: Call) -> Outcome:
        try:
            return await self._http.request(
                call.method,
                self._url + call.path,
                params=call.query,
                json=call.body,
                headers=call.headers(self._api_key),
            )
        except httpx.RequestError as error:
            return error


def _base(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError("The URL of payment-service must start with http:// or https://.")
    return url.rstrip("/")
