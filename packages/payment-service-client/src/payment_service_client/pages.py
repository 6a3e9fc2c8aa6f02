"""Lists. Iterate over all items, or read one page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

from payment_service_client.calls import Call

Page = TypeVar("Page", bound=Mapping[str, Any])
Item = TypeVar("Item")


class Pages(Generic[Page, Item]):
    """A list of the service. Each iteration reads it from the start, page by page, when an item is asked for."""

    def __init__(self, send: Callable[[Call], Any], call: Call) -> None:
        self._send = send
        self._call = call

    def page(self) -> Page:
        """Read the first page: `data`, `has_more`, and `next_cursor` to pass as `cursor`."""
        return cast("Page", self._send(self._call))

    def __iter__(self) -> Iterator[Item]:
        call: Call | None = self._call
        while call is not None:
            page = self._send(call)
            yield from page["data"]
            call = _next(call, page)


class AsyncPages(Generic[Page, Item]):
    """The same for `async for`."""

    def __init__(self, send: Callable[[Call], Awaitable[Any]], call: Call) -> None:
        self._send = send
        self._call = call

    async def page(self) -> Page:
        """Read the first page: `data`, `has_more`, and `next_cursor` to pass as `cursor`."""
        return cast("Page", await self._send(self._call))

    async def __aiter__(self) -> AsyncIterator[Item]:
        call: Call | None = self._call
        while call is not None:
            page = await self._send(call)
            for item in page["data"]:
                yield item
            call = _next(call, page)


def _next(call: Call, page: Mapping[str, Any]) -> Call | None:
    """Return the call for the next page, with the same filters, or None after the last page."""
    return replace(call, query={**call.query, "cursor": page["next_cursor"]}) if page["has_more"] else None
