"""Search by any name, and the lists over all payments: they find what they should, and cost one page of any table."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from payment_service.db import audit, refund_reads, search
from payment_service.db.audit import Actor, AuditFilters
from payment_service.db.pool import Pool, open_pool
from payment_service.db.refund_reads import StatusFilters
from tests.support.api import INSERT_EVENT, Api, assert_problem, open_api
from tests.support.flows import config_for
from tests.support.plans import PAGE_BUFFERS_MAX, PAGE_ROWS, PLAN_MODES, MeasuredReads, fill_skewed

NEWEST = datetime.now(UTC)
ROWS: Final = 20_000
REFUND: Final = "74208445336230009123456"
INSERT_ATTEMPT: Final = """
INSERT INTO payment_attempts (payment_id, name, provider, provider_charge_id, status, amount, currency, card_last4, occurred_at)
VALUES ($1, $2, 'stripe', $2, 'succeeded', $3, $4, '4242', now())
"""
INSERT_REFUND: Final = """
INSERT INTO refunds (id, payment_id, provider, provider_refund_id, amount, currency, status, external, bank_reference)
VALUES ($1, $2, 'stripe', $3, 500, 'eur', $4, true, $5)
"""
INSERT_DISPUTE: Final = """
INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, evidence_due_at, fact_rank, fact_at,
                      fact_precedence, fact_source)
VALUES ($1, $2, 'stripe', $3, 1990, 'eur', $4, 'fraudulent', $5, 0, 0, 0, '')
"""
# Rows about each skewed payment. Almost all share the card and the amount, the status, the client and the action.
FILL_ABOUT: Final = (
    (
        "INSERT INTO payment_attempts (payment_id, name, provider, provider_charge_id, status, amount, currency, card_last4, occurred_at)"
        " SELECT id, 'ch_' || order_id, 'stripe', 'ch_' || order_id, 'succeeded', amount, currency, '4242', created_at FROM payments"
    ),
    (
        "INSERT INTO refunds (id, payment_id, provider, provider_refund_id, amount, currency, status, external, bank_reference, created_at)"
        " SELECT gen_random_uuid(), id, 'stripe', 're_' || order_id, 1, currency,"
        " CASE WHEN order_offset <= 20 THEN 'pending' ELSE 'succeeded' END, true, 'arn-' || order_id, created_at FROM payments"
    ),
    (
        "INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, evidence_due_at, fact_rank, fact_at,"
        " fact_precedence, fact_source, created_at) SELECT gen_random_uuid(), id, 'stripe', 'du_' || order_id, 1, currency,"
        " CASE WHEN order_offset <= 20 THEN 'needs_response' ELSE 'lost' END, 'fraudulent', created_at, 0, 0, 0, '', created_at FROM payments"
    ),
    (
        "INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, verified_by, verified_at, occurred_at)"
        " SELECT id, 'charge.succeeded', 'stripe', 'evt_' || order_id, '{}', true, 'suite', now(), created_at FROM payments"
    ),
    (
        "INSERT INTO audit (at, client, action, payment_id)"
        " SELECT created_at, CASE WHEN order_offset <= 20 THEN 'cli:ada' ELSE 'shop' END,"
        " CASE WHEN order_offset <= 20 THEN 'cancel' ELSE 'refund' END, id FROM payments"
    ),
)


@pytest.fixture
async def api(database_dsn: str) -> AsyncIterator[Api]:
    async with open_api(database_dsn) as opened:
        yield opened


@pytest.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    pool = await open_pool(config_for(database_dsn, "http://127.0.0.1:9"))
    yield pool
    pool.terminate()


async def found(api: Api, text: str) -> list[tuple[str, str]]:
    """Return what matched, and the order, of each hit."""
    quoted = "".join(f"%{byte:02X}" for byte in text.encode())
    answer = await api.get(f"/v1/search?text={quoted}")
    assert answer.status == 200, answer.body
    return [(hit["matched"], hit["payment"]["order_id"]) for hit in answer.json["data"]]


async def fill_one(api: Api) -> tuple[UUID, UUID, UUID]:
    """Insert a payment with an attempt, a refund, a dispute and an event, beside another payment. Return their ids."""
    payment_id = await api.insert("o-1", intent="pi_1", captured=1990, status="succeeded")
    other = await api.insert("o-2", intent="pi_2", captured=1990, status="succeeded", currency="usd")
    refund_id, dispute_id = uuid4(), uuid4()
    await api.pool.execute(INSERT_ATTEMPT, payment_id, "ch_1", 1990, "eur")
    await api.pool.execute(INSERT_ATTEMPT, other, "ch_2", 1990, "usd")
    await api.pool.execute(INSERT_REFUND, refund_id, payment_id, "re_1", "succeeded", REFUND)
    await api.pool.execute(INSERT_DISPUTE, dispute_id, payment_id, "du_1", "needs_response", NEWEST)
    await api.pool.execute(INSERT_EVENT, payment_id, "evt_1", 1)
    return payment_id, refund_id, dispute_id


async def test_a_payment_is_found_by_every_name_that_people_have(api: Api) -> None:
    payment_id, refund_id, dispute_id = await fill_one(api)
    names = {
        "o-1": "order",
        str(payment_id): "payment",
        "pi_1": "payment",
        "ch_1": "charge",
        "re_1": "refund",
        str(refund_id): "refund",
        "du_1": "dispute",
        str(dispute_id): "dispute",
        "evt_1": "event",
        REFUND: "bank_reference",
        f"  {REFUND} ": "bank_reference",
    }
    assert {text: await found(api, text) for text in names} == {text: [(kind, "o-1")] for text, kind in names.items()}
    assert await found(api, "user-1") == [("user", "o-2"), ("user", "o-1")]
    assert sorted(await found(api, "4242 19.90")) == [("card", "o-1"), ("card", "o-2")]
    assert await found(api, "4242 19.9 USD") == [("card", "o-2")]


@pytest.mark.parametrize(
    "text",
    ["nobody", "pi_nobody", "4242 20.00", "12484994-cef9-4536-957e-5a9e27e8f30e", "' OR 1=1 --", "%", "x" * 255, "🦆"],
)
async def test_what_no_payment_has_finds_nothing(api: Api, text: str) -> None:
    await fill_one(api)
    assert await found(api, text) == []


async def test_a_search_shows_as_many_as_asked_and_says_that_there_are_more(api: Api) -> None:
    for number in range(3):
        await api.insert(f"o-{number}")
    answer = (await api.get("/v1/search?text=user-1&limit=2")).json
    assert (len(answer["data"]), answer["has_more"]) == (2, True)
    assert not (await api.get("/v1/search?text=user-1&limit=3")).json["has_more"]


@pytest.mark.parametrize(
    "query", ["", "?text=", f"?text={'x' * 256}", "?text=a%00b", "?text=a&order=b", "?text=a&text=b"]
)
async def test_a_search_without_a_text_is_refused(api: Api, query: str) -> None:
    assert_problem(await api.get(f"/v1/search{query}"), 422)


async def pages(api: Api, path: str, key: str | None = None) -> list[dict[str, Any]]:
    """Read a list with two entries a page."""
    entries: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await api.get(f"{path}limit=2{cursor}", key)
        assert answer.status == 200, answer.body
        entries += answer.json["data"]
        if not answer.json["has_more"]:
            return entries
        cursor = f"&cursor={answer.json['next_cursor']}"


async def test_refunds_are_listed_by_status_and_time(api: Api) -> None:
    payment_id = await api.insert("o-1", intent="pi_1", captured=1990, status="succeeded")
    for number in range(5):
        status = "pending" if number % 2 else "succeeded"
        await api.pool.execute(INSERT_REFUND, uuid4(), payment_id, f"re_{number}", status, None)
    assert [one["provider_refund_id"] for one in await pages(api, "/v1/refunds?")] == [
        f"re_{number}" for number in (4, 3, 2, 1, 0)
    ]
    pending = await pages(api, "/v1/refunds?status=pending&")
    assert [(one["provider_refund_id"], one["order_id"]) for one in pending] == [("re_3", "o-1"), ("re_1", "o-1")]
    assert await pages(api, "/v1/refunds?created_to=2026-01-01T00:00:00Z&") == []


async def test_disputes_to_answer_begin_with_the_earliest_deadline(api: Api) -> None:
    """Without a deadline, a dispute comes last. A decided dispute does not come."""
    payment_id = await api.insert("o-1", intent="pi_1", captured=1990, status="succeeded")
    for name, status, days in [
        ("du_none", "needs_response", None),
        ("du_late", "needs_response", 9),
        ("du_soon", "warning_needs_response", 2),
        ("du_lost", "lost", 1),
        ("du_next", "needs_response", 5),
    ]:
        due = NEWEST + timedelta(days=days) if days else None
        await api.pool.execute(INSERT_DISPUTE, uuid4(), payment_id, name, status, due)
    to_answer = await pages(api, "/v1/disputes?to_answer=true&")
    assert [one["provider_dispute_id"] for one in to_answer] == ["du_soon", "du_next", "du_late", "du_none"]
    assert [one["provider_dispute_id"] for one in await pages(api, "/v1/disputes?status=lost&")] == ["du_lost"]
    assert len(await pages(api, "/v1/disputes?")) == 5
    assert_problem(await api.get("/v1/disputes?to_answer=true&status=lost"), 422)


async def test_the_audit_is_listed_for_admins_by_who_what_and_about_what(api: Api) -> None:
    payment_id = await api.insert("o-1")
    async with api.pool.acquire() as connection:
        for number, (person, action) in enumerate([("ada", "refund"), ("bob", "cancel"), ("ada", "cancel")]):
            actor = Actor(client="cli", person=person, why=f"ticket {number}")
            about = payment_id if number else None
            await audit.append(connection, actor, action, payment_id=about, detail={"number": number})
    admin = await api.key_for("admin")

    async def whys(query: str) -> list[str]:
        return [entry["why"] for entry in await pages(api, f"/v1/audit?{query}", admin)]

    assert await whys("") == ["ticket 2", "ticket 1", "ticket 0"]
    assert await whys("client=cli:ada&") == ["ticket 2", "ticket 0"]
    assert await whys("action=cancel&") == ["ticket 2", "ticket 1"]
    assert await whys(f"payment_id={payment_id}&") == ["ticket 2", "ticket 1"]
    assert await whys("created_to=2026-01-01T00:00:00Z&") == []
    assert_problem(await api.get("/v1/audit?client=a&action=b", admin), 422)
    assert_problem(await api.get("/v1/audit"), 403)


async def test_a_list_comes_as_csv_page_by_page(api: Api) -> None:
    """Each page links to the next one, and has the rows of the JSON page."""
    for number in range(3):
        await api.insert(f"o-{number}")
    await api.pool.execute("UPDATE payments SET user_id = $1", "=cmd|' /C calc'!A1")
    rows: list[dict[str, str]] = []
    target = "/v1/payments?status=pending&limit=2"
    while target:
        answer = await api.get(target, accept="text/csv")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
        rows += csv.DictReader(io.StringIO(answer.body.decode()))
        following = answer.headers.get("link", "").removesuffix('>; rel="next"').removeprefix("<")
        target = f"/v1/payments{following}" if following else ""
    listed = (await api.get("/v1/payments?status=pending")).json["data"]
    assert [row["id"] for row in rows] == [one["id"] for one in listed]
    assert {row["user_id"] for row in rows} == {"'=cmd|' /C calc'!A1"}, "a spreadsheet would run the cell"


@pytest.mark.parametrize("path", ["payments", "refunds", "disputes", "audit"])
async def test_every_list_has_both_forms_and_json_is_the_default(api: Api, path: str) -> None:
    key = await api.key_for("admin")
    kinds = {
        "text/csv": "text/csv; charset=utf-8",
        "text/csv, application/json": "text/csv; charset=utf-8",
        "application/json, text/csv": "application/json",
        "*/*": "application/json",
        "text/html": "application/json",
        "": "application/json",
    }
    for accept, kind in kinds.items():
        answer = await api.get(f"/v1/{path}", key, accept=accept)
        assert (answer.status, answer.headers["content-type"]) == (200, kind), accept
    refused = await api.get(f"/v1/{path}?limit=0", key, accept="text/csv")
    assert_problem(refused, 422)


async def test_searches_and_lists_cost_one_page_whatever_the_distribution(pool: Pool) -> None:
    """Statistics are absent, then exact."""
    async with pool.acquire() as connection:
        await fill_skewed(connection, ROWS, NEWEST)
        for statement in FILL_ABOUT:
            await connection.execute(statement)
        assert await walking(connection, "force_generic_plan") == {}
        await connection.execute("VACUUM ANALYZE payments, payment_attempts, refunds, disputes, audit, payment_events")
        for mode in PLAN_MODES:
            assert await walking(connection, mode) == {}, mode


async def walking(connection: Any, mode: str) -> dict[str, int]:
    """Return the reads that touch more pages than a page of rows needs, with the pages."""
    costs = {}
    name = f"order-{ROWS // 2}"
    payment_id = str(await connection.fetchval("SELECT id FROM payments LIMIT 1"))
    texts = (name, payment_id, *(f"{kind}_{name}" for kind in ("pi", "ch", "re", "du", "evt")), f"arn-{name}")
    for text in (*texts, "guest", "nobody", "4242 19.90", "4242 19.90 usd", "4242 19.90 eur", "4242 0.01"):
        reads = MeasuredReads(connection, mode)
        await search.search(reads, text, limit=PAGE_ROWS)  # type: ignore[arg-type]
        costs[text] = max(one.buffers for one in reads.costs)
    for status in (None, "pending", "succeeded", "needs_response", "lost", "won"):
        for since in (None, NEWEST + timedelta(days=1)):
            reads = MeasuredReads(connection, mode)
            filters = StatusFilters(status=status, created_from=since)
            await refund_reads.all_refunds(reads, filters, limit=PAGE_ROWS + 1)  # type: ignore[arg-type]
            await refund_reads.all_disputes(reads, filters, limit=PAGE_ROWS + 1)  # type: ignore[arg-type]
            await refund_reads.disputes_to_answer(reads, limit=PAGE_ROWS + 1)  # type: ignore[arg-type]
            costs[f"{status} since {since}"] = max(one.buffers for one in reads.costs)
    for filters_of_audit in (
        AuditFilters(),
        AuditFilters(client="shop"),
        AuditFilters(client="cli:ada"),
        AuditFilters(client="nobody"),
        AuditFilters(action="cancel"),
        AuditFilters(action="refund", created_from=NEWEST + timedelta(days=1)),
        AuditFilters(payment_id=UUID(payment_id)),
    ):
        reads = MeasuredReads(connection, mode)
        await audit.entries(reads, filters_of_audit, limit=PAGE_ROWS + 1)  # type: ignore[arg-type]
        costs[str(filters_of_audit)] = max(one.buffers for one in reads.costs)
    return {one: buffers for one, buffers in costs.items() if buffers > PAGE_BUFFERS_MAX}
