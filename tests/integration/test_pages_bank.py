"""The pages for bank transfers: finance imports a statement, assigns or closes what is left, and records transfers back."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import date
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from payment_service.bank_transfer.pages import STATEMENT_LIMIT_BYTES, STATEMENT_LINES_MAX
from tests.support.bank import Bank, open_bank, reference, refund
from tests.support.pages import ServedPages, Visitor, serve_pages

TODAY = date.today().isoformat()  # noqa: DTZ011 - a booking has a day and no clock
HEAD = "booking_date,amount,currency,reference,transaction_id"


class Desk(NamedTuple):
    """The pages, the bank beneath, and a person of finance."""

    pages: ServedPages
    bank: Bank
    ada: Visitor

    async def import_lines(self, *lines: str) -> tuple[str, str]:
        """Import a statement by its two pages, and return both."""
        preview = await self.ada.upload("/bank", "/bank/preview", statement(*lines))
        assert preview.status == HTTPStatus.OK, preview.body
        fields = self.ada.hidden_in(preview, "/bank/import")
        imported = await self.ada.post("/bank/import", fields)
        assert imported.status == HTTPStatus.OK, imported.body
        return preview.body.decode(), imported.body.decode()

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return [tuple(row) for row in await self.bank.pool.fetch(query)]


def statement(*lines: str) -> bytes:
    return "\r\n".join([HEAD, *lines, ""]).encode()


def transfer(text: str, name: str, amount: str = "19.90") -> str:
    return f"{TODAY},{amount},EUR,{text},{name}"


@pytest.fixture
async def desk(database_dsn: str) -> AsyncIterator[Desk]:
    """Serve the pages with bank transfers and three orders of 19.90 eur."""
    settings = {
        "admin_port": 8083,
        "providers": ("stripe", "bank_transfer"),
        "provider_by_currency": ("eur:bank_transfer",),
    }
    async with open_bank(database_dsn, **settings) as bank, serve_pages(bank.flows) as pages:
        await bank.create_payments("o-1", "o-2", "o-3")
        yield Desk(pages, bank, await pages.log_in("ada", "finance"))


async def test_preview_says_what_the_import_then_does(desk: Desk) -> None:
    await desk.bank.take(reference("o-3"), transaction_id="t-0")
    lines = [
        transfer(f"order {reference('o-1')}", "t-1"),
        transfer(f"order {reference('o-1')}", "t-2"),
        transfer(reference("o-2"), "t-3", "5.00"),
        transfer("thank you", "t-4"),
        transfer(reference("o-3"), "t-0"),
        transfer(reference("o-3"), "t-0", "7.00"),
        transfer("thank you", "t-5", "-3.00"),
        "2026-13-01,1.00,EUR,x,t-6",
    ]

    preview = await desk.ada.upload("/bank", "/bank/preview", statement(*lines))
    before = await desk.rows("SELECT transaction_id FROM bank_transfers")
    imported = await desk.ada.post("/bank/import", desk.ada.hidden_in(preview, "/bank/import"))

    assert before == [("t-0",)]
    expected = [
        "pays its payment",
        "it had been paid before",
        "it is too little",
        "names no payment",
        "imported before",
        "with another amount",
        "outgoing money",
        "booking_date must be a day",
    ]
    for page in (preview.body.decode(), imported.body.decode()):
        rows = page.partition("<tbody>")[2].split("<tr>")[1:]
        assert [words in row for words, row in zip(expected, rows, strict=True)] == [True] * len(lines)
    assert [await desk.bank.status(order) for order in ("o-1", "o-2", "o-3")] == ["succeeded", "pending", "succeeded"]
    assert set(await desk.pages.audit()) >= {("pages:ada", "bank.transfer")}


async def test_import_that_is_sent_twice_changes_nothing_more(desk: Desk) -> None:
    _, first = await desk.import_lines(transfer(reference("o-1"), "t-1"))
    _, second = await desk.import_lines(transfer(reference("o-1"), "t-1"))

    assert "pays its payment" in first
    assert "imported before" in second
    assert await desk.bank.published("o-1") == ["initiated", "succeeded"]


async def test_transfer_is_assigned_after_a_look_at_what_it_means(desk: Desk) -> None:
    await desk.import_lines(transfer("for my order", "t-1"))
    page = (await desk.ada.get("/bank/transfer?id=t-1")).body.decode()
    assert "o-1" in page

    asked = await desk.ada.submit("/bank/transfer?id=t-1", "/bank/assign", payment="o-1")
    assert "The payment becomes paid" in asked.body.decode()
    assert await desk.bank.status("o-1") == "pending"
    fields = {**desk.ada.hidden_in(asked, "/bank/assign"), "reason": "the customer sent a receipt"}
    answers = [await desk.ada.post("/bank/assign", fields) for _ in range(2)]

    assert [answer.status for answer in answers] == [HTTPStatus.SEE_OTHER] * 2
    assert "The transfer is assigned" in (await desk.ada.get(answers[0].headers["location"])).body.decode()
    assert await desk.bank.status("o-1") == "succeeded"
    assert await desk.rows("SELECT why FROM audit WHERE action = 'bank.transfer' ORDER BY id") == [
        ("",),
        ("the customer sent a receipt",),
    ]


async def test_page_says_that_a_transfer_does_not_match(desk: Desk) -> None:
    await desk.import_lines(transfer("for my order", "t-1", "5.00"))
    asked = await desk.ada.submit("/bank/transfer?id=t-1", "/bank/assign", payment="o-1")
    assert "it is too little" in asked.body.decode()

    fields = {**desk.ada.hidden_in(asked, "/bank/assign"), "reason": "half of it"}
    answer = await desk.ada.post("/bank/assign", fields)

    assert answer.headers["location"].endswith("done=bank_parked")
    assert await desk.bank.status("o-1") == "pending"
    assert await desk.rows("SELECT count(*) FROM payment_events WHERE parked_reason IS NOT NULL") == [(1,)]


async def test_closed_transfer_pays_nothing_any_more(desk: Desk) -> None:
    await desk.import_lines(transfer("by mistake", "t-1"))
    closed = await desk.ada.submit("/bank/transfer?id=t-1", "/bank/close", note="transferred back")
    late = await desk.ada.post(
        "/bank/assign",
        {
            **await desk.ada.hidden("/bank", "/bank/preview"),
            "id": "t-1",
            "payment": "o-1",
            "confirmed": "yes",
            "reason": "x",
        },
    )
    _, again = await desk.import_lines(transfer(reference("o-1"), "t-1"))

    assert closed.headers["location"] == "/bank?done=bank_closed"
    assert late.status == HTTPStatus.CONFLICT
    assert "imported before" in again
    assert await desk.bank.status("o-1") == "pending"


@pytest.mark.parametrize(("result", "status"), [("made", "succeeded"), ("failed", "failed")])
async def test_transfer_back_is_recorded(desk: Desk, result: str, status: str) -> None:
    await desk.bank.take(reference("o-1"))
    name = await refund(desk.bank, "o-1")
    assert "o-1" in (await desk.ada.get("/bank")).body.decode().partition("Transfers to make")[2]

    path = f"/bank/refunds/{name}"
    fields = {**await desk.ada.hidden(path, path), "result": result, "failure": "account_closed"}
    answers = [await desk.ada.post(path, fields) for _ in range(2)]

    assert [answer.status for answer in answers] == [HTTPStatus.SEE_OTHER] * 2
    assert await desk.rows("SELECT status FROM refunds") == [(status,)]
    assert "No refund waits for a transfer" in (await desk.ada.get("/bank")).body.decode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The first line must name the columns"),
        (b"\x00\xff" * 100, "The first line cannot be read"),
        (b"PK\x03\x04" + b"\x00" * 2_000, "The first line"),
        ((HEAD + "\n" + "x\n" * STATEMENT_LINES_MAX).encode(), "split the file"),
        (b"a" * (STATEMENT_LIMIT_BYTES + 1), "split the file"),
    ],
)
async def test_file_that_is_no_statement_is_refused_in_words(desk: Desk, content: bytes, words: str) -> None:
    answer = await desk.ada.upload("/bank", "/bank/preview", content)
    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert words in answer.body.decode()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"statement": "not base64!"}, HTTPStatus.UNPROCESSABLE_ENTITY),
        ({}, HTTPStatus.UNPROCESSABLE_ENTITY),
        ({"statement": b64encode(b"\xff").decode()}, HTTPStatus.UNPROCESSABLE_ENTITY),
    ],
)
async def test_import_form_that_was_edited_is_refused(desk: Desk, fields: dict[str, str], status: HTTPStatus) -> None:
    token = await desk.ada.hidden("/bank", "/bank/preview")
    assert (await desk.ada.post("/bank/import", {**token, **fields})).status == status


async def test_body_above_the_limit_is_refused(desk: Desk) -> None:
    answer = await desk.ada.upload("/bank", "/bank/preview", b"a" * (3 * STATEMENT_LIMIT_BYTES))
    assert answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


async def test_pages_of_a_provider_that_is_off_do_not_exist(database_dsn: str) -> None:
    async with open_bank(database_dsn, admin_port=8083) as bank, serve_pages(bank.flows) as pages:
        ada = await pages.log_in("ada", "finance")
        assert (await ada.get("/bank")).status == HTTPStatus.NOT_FOUND
        assert b'href="/bank"' not in (await ada.get("/")).body


async def test_id_with_a_null_character_is_unknown(desk: Desk) -> None:
    await desk.import_lines(transfer("for my order", "t-1"))
    token = await desk.ada.hidden("/bank", "/bank/preview")

    assert (await desk.ada.get("/bank/transfer?id=t-1%00")).status == HTTPStatus.NOT_FOUND
    for path, status in (("/bank/assign", HTTPStatus.NOT_FOUND), ("/bank/close", HTTPStatus.NOT_FOUND)):
        answer = await desk.ada.post(
            path, {**token, "id": "t-1\0", "payment": "o-1", "note": "x", "key": f"page-{uuid4()}"}
        )
        assert answer.status == status, path
    answer = await desk.ada.post("/bank/assign", {**token, "id": "t-1", "payment": "o-1\0"})
    assert answer.status == HTTPStatus.CONFLICT
    assert "write one line" in answer.body.decode()
