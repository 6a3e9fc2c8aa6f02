"""Test the lists of `/v1`: combined filters, stable pages while rows are added, and cursors for one list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest

from payment_service.contracts.api import STATUSES
from payment_service.domain.payment import Status
from tests.support.api import INSERT_EVENT, Api, assert_problem, open_api

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# (order, n, user, status, captured, refunded, currency), a minute apart.
ROWS = [
    ("o-1", 1, "ada", "canceled", 0, 0, "eur"),
    ("o-1", 2, "ada", "succeeded", 1990, 0, "eur"),
    ("o-2", 1, "ada", "succeeded", 1990, 500, "usd"),
    ("o-3", 1, "bob", "succeeded", 1990, 1990, "eur"),
    ("o-4", 1, "bob", "declined", 0, 0, "usd"),
    ("o-5", 1, "", "succeeded", 1990, 500, "eur"),
    ("o-6", 1, "ada", "pending", 0, 0, "jpy"),
]
FILTERS = {
    "order_id": "o-1",
    "user_id": "ada",
    "status": "succeeded",
    "currency": "eur",
    "created_from": (NOON + timedelta(minutes=1)).isoformat(),
    "created_to": (NOON + timedelta(minutes=5)).isoformat(),
}


@pytest.fixture
async def api(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn) as opened:
        yield opened


async def fill(api: Api) -> None:
    """Insert the rows."""
    for minute, (order_id, n, user, status, captured, refunded, currency) in enumerate(ROWS):
        name = await api.insert(order_id, n, status=status, captured=captured, refunded=refunded, currency=currency)
        await api.pool.execute(
            "UPDATE payments SET user_id = $2, created_at = $3 WHERE id = $1",
            name,
            user,
            NOON + timedelta(minutes=minute),
        )


async def listed(api: Api, limit: int = 100, **filters: str) -> list[dict[str, Any]]:
    """Return all matching payments, page by page."""
    found: list[dict[str, Any]] = []
    asked: dict[str, str | int] = {**filters, "limit": limit}
    while True:
        answer = await api.get(f"/v1/payments?{urlencode(asked)}")
        assert answer.status == 200, answer
        page = answer.json
        assert len(page["data"]) <= limit
        found += page["data"]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return found
        asked["cursor"] = page["next_cursor"]


def expected(filters: dict[str, str]) -> list[tuple[str, int]]:
    """Return the matching payments, computed from the rows."""
    found = []
    for minute, (order_id, n, user, status, captured, refunded, currency) in enumerate(ROWS):
        shown = "refunded" if 0 < refunded == captured else "partially_refunded" if refunded else status
        at = (NOON + timedelta(minutes=minute)).isoformat()
        row = {"order_id": order_id, "user_id": user, "status": shown, "currency": currency}
        fits = all(row[name] == value for name, value in filters.items() if name in row)
        if fits and filters.get("created_from", "") <= at < filters.get("created_to", "9"):
            found.append((order_id, n))
    return found[::-1]


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_every_combination_of_filters_returns_the_matches_newest_first(api: Api, limit: int) -> None:
    await fill(api)
    for names in chain.from_iterable(combinations(FILTERS, size) for size in range(len(FILTERS) + 1)):
        filters = {name: FILTERS[name] for name in names}
        found = await listed(api, limit, **filters)
        assert [payment["order_id"] for payment in found] == [order_id for order_id, _ in expected(filters)], names
        assert len({payment["id"] for payment in found}) == len(found), names


@pytest.mark.parametrize("status", STATUSES)
async def test_every_shown_status_can_be_filtered_by(api: Api, status: str) -> None:
    """This includes the two derived statuses."""
    assert set(STATUSES) == {*Status, "refunded", "partially_refunded"}
    await fill(api)
    assert [payment["status"] for payment in await listed(api, status=status)] == [
        status for _ in expected({"status": status})
    ]


async def test_payments_added_while_a_list_is_read_change_no_page(api: Api) -> None:
    """Existing payments appear exactly once, even if new ones have the same time."""
    await fill(api)
    before = [payment["id"] for payment in await listed(api)]
    page = (await api.get("/v1/payments?limit=2")).json
    seen = [payment["id"] for payment in page["data"]]
    while page["has_more"]:
        new = await api.insert(f"new-{len(seen)}")
        await api.pool.execute(
            "UPDATE payments SET created_at = $2 WHERE id = $1", new, NOON + timedelta(minutes=len(ROWS) - 1)
        )
        page = (await api.get(f"/v1/payments?limit=2&cursor={page['next_cursor']}")).json
        seen += [payment["id"] for payment in page["data"]]
    assert [name for name in seen if name in before] == before
    assert len(set(seen)) == len(seen)


async def test_a_cursor_is_valid_only_for_its_own_list(api: Api) -> None:
    """Other filters, another payment's list or another kind of list give 422: it would not be the next page."""
    await fill(api)
    mine, other = await api.insert("o-8"), await api.insert("o-9")
    for number in (1, 2):
        await api.pool.execute(INSERT_EVENT, mine, f"evt_{number}", number)
    cursor = (await api.get("/v1/payments?limit=1&currency=eur")).json["next_cursor"]
    events = (await api.get(f"/v1/payments/{mine}/events?limit=1")).json["next_cursor"]
    assert (await api.get(f"/v1/payments?limit=5&currency=EUR&cursor={cursor}")).status == 200
    for target in (
        f"/v1/payments?limit=1&cursor={cursor}",
        f"/v1/payments?limit=1&currency=usd&cursor={cursor}",
        f"/v1/payments?limit=1&currency=eur&status=succeeded&cursor={cursor}",
        f"/v1/payments/{mine}/events?limit=1&cursor={cursor}",
        f"/v1/payments/{other}/events?limit=1&cursor={events}",
        f"/v1/payments/{mine}/timeline?limit=1&cursor={events}",
        f"/v1/payments/{mine}/refunds?limit=1&cursor={events}",
        f"/v1/payments/{mine}/disputes?limit=1&cursor={events}",
    ):
        assert_problem(await api.get(target), 422)


async def test_a_modified_cursor_is_refused(api: Api) -> None:
    """This holds for every letter, including the last one, whose unused bits base64 ignores."""
    await fill(api)
    cursor = (await api.get("/v1/payments?limit=1")).json["next_cursor"]
    assert not any(str(name) in cursor for name in ("2026", "o-6"))
    for place in range(len(cursor)):
        for letter in {"A", "B", "_"} - {cursor[place]}:
            touched = cursor[:place] + letter + cursor[place + 1 :]
            assert_problem(await api.get(f"/v1/payments?limit=1&cursor={touched}"), 422)
    for made in (cursor[:-1], cursor + "A", "A", "", uuid4().hex, "x" * 201, cursor + "%3D", "%C3%A9"):
        assert_problem(await api.get(f"/v1/payments?limit=1&cursor={made}"), 422)


async def test_a_cursor_is_valid_on_every_replica(api: Api, database_dsn: str) -> None:
    """`migrate` writes the key to the database, so it needs no setting. Another database has another key."""
    await fill(api)
    cursor = (await api.get("/v1/payments?limit=1")).json["next_cursor"]
    async with open_api(database_dsn) as other:
        assert (await other.get(f"/v1/payments?limit=1&cursor={cursor}")).status == 200
        await other.pool.execute("UPDATE cursor_key SET key = sha256(key)")
    async with open_api(database_dsn) as stranger:
        assert_problem(await stranger.get(f"/v1/payments?limit=1&cursor={cursor}"), 422)


@pytest.mark.parametrize(
    "query",
    [
        "status=paid",
        "status=",
        "status=succeeded&status=failed",
        "currency=xxx",
        "currency=euro",
        "user_id=",
        "user_id=a%00b",
        "user_id=" + "x" * 256,
        "created_from=yesterday",
        "created_from=1700000000",
        "created_from=2026-03-01",
        "created_from=2026-03-01T12:00:00",
        "created_from=2026-03-01T12:00:00+01:00",
        "created_to=2026-02-30T12:00:00Z",
        "created_to=9999-12-31T23:59:59-23:59",
        "created_from=0001-01-01T00:00:00%2B23:59",
        "created_to=0000-01-01T00:00:00Z",
        "limit=101",
        "limit=0",
        "limit=-1",
    ],
)
async def test_an_invalid_filter_is_refused_in_one_sentence(api: Api, query: str) -> None:
    assert_problem(await api.get(f"/v1/payments?{query}"), 422)


@pytest.mark.parametrize("query", ["created_from=0001-01-01T00:00:00Z", "created_to=9999-12-31T23:59:59.999999Z"])
async def test_the_first_and_last_dates_are_valid_filters(api: Api, query: str) -> None:
    await fill(api)
    assert len((await api.get(f"/v1/payments?{query}")).json["data"]) == len(ROWS)


async def test_a_payment_shows_its_first_refunds_and_their_list_continues(api: Api) -> None:
    name = await api.insert(status="succeeded", captured=1990, refunded=25)
    made = [await _refund(api, name, minute) for minute in range(25)]
    shown = (await api.get(f"/v1/payments/{name}")).json["refunds"]
    rest = (await api.get(f"/v1/payments/{name}/refunds?limit=100&cursor={shown['next_cursor']}")).json
    assert [refund["id"] for refund in shown["data"] + rest["data"]] == made[::-1]
    assert (shown["has_more"], rest["has_more"], shown["data"][0]["amount"]) == (True, False, "0.01")


async def _refund(api: Api, payment_id: UUID, minute: int) -> str:
    made = await api.pool.fetchval(
        "INSERT INTO refunds (id, payment_id, provider, amount, currency, status, external, created_at)"
        " VALUES (gen_random_uuid(), $1, 'stripe', 1, 'eur', 'succeeded', true, $2) RETURNING id",
        payment_id,
        NOON + timedelta(minutes=minute),
    )
    return str(made)
