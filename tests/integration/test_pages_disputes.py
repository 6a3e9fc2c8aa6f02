"""Disputes on the pages: where to submit evidence, and notes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import pytest

from tests.support.flows import open_flows
from tests.support.pages import ServedPages, serve_pages

INSERT: Final = """
INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, evidence_due_at, fact_rank, fact_at,
                      fact_precedence, fact_source)
VALUES (gen_random_uuid(), $1, $2, 'du_/1', 1990, 'eur', 'needs_response', 'fraudulent', now() + interval '3 days 1 hour', 0, 0, 0, '')
RETURNING id
"""


@pytest.fixture
async def pages(database_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[ServedPages]:
    """Serve the pages of a service at Stripe, or at the address of the parameter."""
    base = getattr(request, "param", "https://api.stripe.com")
    settings: dict[str, Any] = {"admin_port": 8083}
    async with open_flows(database_dsn, base, **settings) as flows, serve_pages(flows) as served:
        yield served


async def dispute(pages: ServedPages, provider: str = "stripe") -> tuple[UUID, str]:
    """Insert a dispute of a paid payment, and return the payment and the path of the dispute."""
    payment = await pages.paid()
    await pages.flows.pool.execute("UPDATE payments SET provider = $1", provider)
    return payment, f"/disputes/{await pages.flows.pool.fetchval(INSERT, payment, provider)}"


async def test_dispute_leads_to_the_page_where_stripe_takes_evidence(pages: ServedPages) -> None:
    _, path = await dispute(pages)
    ada = await pages.log_in("ada", "support")
    assert f'href="{path}"' in (await ada.get("/disputes")).body.decode()
    shown = (await ada.get(path)).body.decode()
    assert 'href="https://dashboard.stripe.com/test/disputes/du_%2F1"' in shown
    assert "Submit evidence at Stripe" in shown
    assert "3 days left" in shown


@pytest.mark.parametrize("pages", ["http://127.0.0.1:9"], indirect=True)
async def test_sandbox_has_no_page_for_evidence(pages: ServedPages) -> None:
    _, path = await dispute(pages)
    shown = (await (await pages.log_in("ada", "support")).get(path)).body.decode()
    assert "Submit evidence" not in shown


async def test_provider_without_a_dashboard_gets_no_link(pages: ServedPages) -> None:
    payment, path = await dispute(pages, "bank_transfer")
    ada = await pages.log_in("ada", "support")
    for shown in (await ada.get(path), await ada.get(f"/payments/{payment}")):
        assert shown.status == HTTPStatus.OK
        assert b"Stripe" not in shown.body


async def test_note_belongs_to_its_dispute_and_is_in_the_history_of_the_payment(pages: ServedPages) -> None:
    payment, path = await dispute(pages)
    ada, vera = await pages.log_in("ada", "support"), await pages.log_in("vera", "viewer")
    await ada.submit(f"/payments/{payment}", f"/payments/{payment}/note", note="about the payment")
    fields = {**await ada.hidden(path, f"{path}/note"), "note": "receipt <b>asked</b>"}
    for _ in range(2):
        assert (await ada.post(f"{path}/note", fields)).headers["location"] == f"{path}?done=note"

    shown = (await ada.get(path)).body.decode()
    assert shown.count("ada: receipt &lt;b&gt;asked&lt;/b&gt;") == 1
    assert "about the payment" not in shown
    assert "ada: receipt" in (await ada.get(f"/payments/{payment}")).body.decode()
    assert "receipt" not in (await vera.get(path)).body.decode()
    assert await pages.audit() == [("pages:ada", "note"), ("pages:ada", "note")]


async def test_unknown_dispute_is_a_page_that_says_so(pages: ServedPages) -> None:
    ada = await pages.log_in("ada", "support")
    answer = await ada.get(f"/disputes/{await pages.paid()}")
    assert answer.status == HTTPStatus.NOT_FOUND
    assert b"There is no dispute with this id" in answer.body


async def test_audit_refuses_an_unknown_filter_with_a_sentence(pages: ServedPages) -> None:
    fay = await pages.log_in("fay", "finance")
    answer = await fay.get("/audit?by=client&value=ada")
    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert b"Filter the audit by who, what or payment." in answer.body
