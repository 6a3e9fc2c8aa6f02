"""Read the pages of Stripe's lists, newest first (https://docs.stripe.com/api/pagination)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import aiohttp

from payment_service.provider.port import Transient
from payment_service.provider.stripe.responses import read_date, read_retry_after, read_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from payment_service.provider.stripe.responses import Response

    # Send a GET request for this path and query.
    Get = Callable[[str], Awaitable[Response]]

PAGE_SIZE: Final = 100  # Stripe's maximum
# More objects should follow, but the page has none or ends with the last object of the page before. To go on would never end.
STUCK: Final = "list_does_not_advance"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """A page of a list, newest first. `at`: the provider's clock, seconds. `has_more`: older objects follow."""

    objects: tuple[dict[str, Any], ...]
    at: int
    has_more: bool

    @property
    def last_id(self) -> str:
        """Return the id after which the next page starts, or an empty string."""
        return str(self.objects[-1].get("id") or "") if self.objects else ""


async def read_page(
    get: Get, path: str, query: Mapping[str, str], *, now_s: float, after: str = ""
) -> ListPage | Transient:
    """Read a page of a list. `after`: the last id of the page before. Return `Transient` on any failure. Never raise."""
    pairs = {**query, "limit": str(PAGE_SIZE), **({"starting_after": after} if after else {})}
    try:
        response = await get(f"{path}?{urlencode(pairs)}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Transient(code=f"connection:{type(error).__name__}", retry_after_s=0)
    page = response.body if isinstance(response.body, dict) else {}
    if response.status != 200:
        problem = page.get("error")
        code = read_token(problem.get("code")) if isinstance(problem, dict) else ""
        return Transient(code=code or f"http_{response.status}", retry_after_s=read_retry_after(response.headers))
    objects, has_more = page.get("data"), page.get("has_more")
    if not isinstance(objects, list) or type(has_more) is not bool or not all(isinstance(o, dict) for o in objects):
        return Transient(code="not_a_list", retry_after_s=0)
    found = ListPage(objects=tuple(objects), at=read_date(response, now_s), has_more=has_more)
    if has_more and found.last_id in {"", after}:
        return Transient(code=STUCK, retry_after_s=0)
    return found


def created_between(created_from: int, created_to: int | None = None) -> dict[str, str]:
    """Return the query that limits a list to objects created in these seconds, both included."""
    until = {} if created_to is None else {"created[lte]": str(created_to)}
    return {"created[gte]": str(created_from), **until}
