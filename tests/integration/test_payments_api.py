"""Test reading payments through `/v1` over a socket on a real database, and the refusal of everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from tests.support.api import INSERT_EVENT, Api, assert_problem, open_api


@pytest.fixture
async def api(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn) as opened:
        yield opened


async def test_a_payment_shows_amounts_as_decimal_text(api: Api) -> None:
    """Every field is present, even when it is empty."""
    name = await api.insert()
    answer = await api.get(f"/v1/payments/{name}")
    assert answer.status == 200
    shown = answer.json
    assert shown.pop("created_at").endswith("Z")
    assert shown.pop("updated_at").endswith("Z")
    assert shown == {
        "id": str(name),
        "order_id": "o-1",
        "user_id": "user-1",
        "status": "pending",
        "amount": "19.90",
        "amount_captured": "0.00",
        "amount_refunded": "0.00",
        "currency": "eur",
        "provider": "stripe",
        "provider_payment_id": None,
        "metadata": {},
        "payment_method_id": None,
        "payment_method": None,
        "receipt_url": None,
        "attempts": [],
        "capture_method": "automatic",
        "capture_before": None,
        "expires_at": None,
        "refunds": {"data": [], "has_more": False, "next_cursor": None},
        "disputes": {"data": [], "has_more": False, "next_cursor": None},
    }


@pytest.mark.parametrize(("currency", "amount"), [("jpy", "1990"), ("isk", "1990"), ("kwd", "1.990"), ("usd", "19.90")])
async def test_amounts_have_the_decimals_of_their_currency(api: Api, currency: str, amount: str) -> None:
    name = await api.insert(currency=currency)
    assert (await api.get(f"/v1/payments/{name}")).json["amount"] == amount


@pytest.mark.parametrize(
    ("refunded", "status"),
    [(0, "succeeded"), (1, "partially_refunded"), (1989, "partially_refunded"), (1990, "refunded")],
)
async def test_the_refund_statuses_are_derived_from_the_refunded_amount(api: Api, refunded: int, status: str) -> None:
    """They are never stored."""
    name = await api.insert(intent="pi_1", captured=1990, refunded=refunded, status="succeeded")
    assert (await api.get(f"/v1/payments/{name}")).json["status"] == status


async def test_an_order_without_payments_has_an_empty_list(api: Api) -> None:
    assert (await api.get("/v1/payments?order_id=o-9")).json == {"data": [], "has_more": False, "next_cursor": None}


@pytest.mark.parametrize("order_id", ["a/b", "'OR'1'='1", "x" * 64, "!~#&=?+:"])
async def test_any_order_id_can_be_queried(api: Api, order_id: str) -> None:
    """Ids may contain any punctuation, so they are in the query and never in the path."""
    await api.insert(order_id)
    escaped = "".join(f"%{byte:02X}" for byte in order_id.encode())
    [shown] = (await api.get(f"/v1/payments?order_id={escaped}")).json["data"]
    assert shown["order_id"] == order_id


async def test_events_are_listed_in_the_providers_order_without_payloads(api: Api) -> None:
    name = await api.insert()
    for number in (3, 1, 2):
        await api.pool.execute(INSERT_EVENT, name, f"evt_{number}", number)
    await api.pool.execute(INSERT_EVENT, uuid4(), "evt_of_another", 1)
    first = await api.get(f"/v1/payments/{name}/events?limit=2")
    assert b"content" not in first.body
    assert first.json["data"][0].keys() == {
        "id", "type", "provider_event_id", "processed", "result", "occurred_at", "created_at",
    }  # fmt: skip
    rest = await api.get(f"/v1/payments/{name}/events?cursor={first.json['next_cursor']}")
    seen = [event["provider_event_id"] for event in first.json["data"] + rest.json["data"]]
    assert seen == ["evt_1", "evt_2", "evt_3"]
    assert (first.json["has_more"], rest.json["has_more"]) == (True, False)


@pytest.mark.parametrize("part", ["", "/events", "/refunds", "/disputes", "/timeline"])
async def test_an_unknown_payment_is_not_found(api: Api, part: str) -> None:
    assert_problem(await api.get(f"/v1/payments/{uuid4()}{part}"), 404)


@pytest.mark.parametrize("text", ["7", "null", "'--", "x" * 500, str(UUID(int=0))[:-1]])
async def test_an_invalid_uuid_is_refused_without_being_echoed(api: Api, text: str) -> None:
    answer = await api.get(f"/v1/payments/{text}")
    assert_problem(answer, 422)
    assert f'"{text}"' not in answer.body.decode()


@pytest.mark.parametrize(
    "query",
    [
        "order_id=",
        "order_id=" + "x" * 65,
        "order_id=a%20b",
        "order_id=a%00b",
        "order_id=%C3%A9",
        "order_id=a%0A",
        "order_id=a&order_id=b",
        "order_id=a&limit=0",
        "order_id=a&limit=1000000000",
        "order_id=a&limit=1.5",
        "order_id=a&cursor=x",
        "order_id=a&cursor=00000000-0000-0000-0000-000000000000",
        "order_id=a&sort=amount;DROP%20TABLE",
        "order_id=a&api_key=x",
    ],
)
async def test_an_invalid_query_is_refused(api: Api, query: str) -> None:
    """Unknown parameters too: silently ignored ones would be taken for effective."""
    assert_problem(await api.get(f"/v1/payments?{query}"), 422)


async def test_a_read_refuses_unknown_parameters(api: Api) -> None:
    name = await api.insert()
    assert_problem(await api.get(f"/v1/payments/{name}?expand=all"), 422)


async def test_a_database_outage_returns_503_with_retry_after(api: Api) -> None:
    """It never returns a 500, and the body does not name the database."""
    target = "/v1/payments?order_id=a"
    assert (await api.get(target)).status == 200
    api.pool.terminate()
    api.reads.terminate()
    answer = await api.get(target)
    assert_problem(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert b"postgres" not in answer.body.lower()
