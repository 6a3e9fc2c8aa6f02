"""Changes by people on the pages: each runs once, under the person's name, within their limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from payment_service.flows.requests.refund import Refunds
from payment_service.http.paging import PAGE_MAX
from tests.support.flows import open_flows
from tests.support.pages import ServedPages, Visitor, serve_pages

LIMIT_MINOR = 10_000


@pytest.fixture
async def pages(database_dsn: str) -> AsyncIterator[ServedPages]:
    """Serve the pages with a refund limit of 100.00."""
    settings = {"admin_port": 8083, "admin_refund_limit_minor": LIMIT_MINOR}
    async with open_flows(database_dsn, "http://127.0.0.1:9", **settings) as flows, serve_pages(flows) as served:
        yield served


async def refund(visitor: Visitor, payment: UUID, amount: str) -> str:
    """Refund by the form, and return where it leads, or the sentence of the refusal."""
    path = f"/payments/{payment}/refund"
    answer = await visitor.submit(path, path, amount=amount, reason="returned goods")
    return answer.headers.get("location") or answer.body.decode()


async def refunds(pages: ServedPages) -> list[int]:
    return [row["amount"] for row in await pages.flows.pool.fetch("SELECT amount FROM refunds ORDER BY created_at")]


async def request_approval(pages: ServedPages, visitor: Visitor, payment: UUID, amount: str) -> str:
    """Request a refund above the limit, and return the path of its approval."""
    assert (await refund(visitor, payment, amount)).endswith("done=approval")
    newest = await pages.flows.pool.fetchval("SELECT id FROM approvals ORDER BY requested_at DESC LIMIT 1")
    return f"/approvals/{newest}"


async def test_refund_pressed_twice_is_made_once(pages: ServedPages) -> None:
    payment, ada = await pages.paid(), await pages.log_in("ada", "support")
    path = f"/payments/{payment}/refund"
    fields = {**await ada.hidden(path, path), "amount": "25.00", "reason": "late parcel"}

    answers = await asyncio.gather(*(ada.post(path, fields) for _ in range(4)))
    again = await ada.post(path, fields)

    assert again.headers["location"] == f"/payments/{payment}?done=refund"
    assert {answer.status for answer in answers} <= {HTTPStatus.SEE_OTHER, HTTPStatus.CONFLICT}
    assert await refunds(pages) == [2_500]
    assert await pages.audit() == [("pages:ada", "refund")]
    shown = (await ada.get(f"/payments/{payment}")).body.decode()
    assert "ada asked for a refund of 25.00, because: late parcel." in shown


async def test_refund_whose_commit_has_no_answer_is_repeated_under_the_same_key(
    pages: ServedPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund may have been made, so a new key could make another."""
    payment, ada = await pages.paid(), await pages.log_in("ada", "support")
    path = f"/payments/{payment}/refund"
    fields = {**await ada.hidden(path, path), "amount": "25.00", "reason": "late parcel"}
    make = Refunds.request

    async def lose_answer(*arguments: Any) -> Any:
        await make(*arguments)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed")

    with monkeypatch.context() as patch:
        patch.setattr(Refunds, "request", lose_answer)
        answer = await ada.post(path, fields)
    assert b"the outcome is unknown" in answer.body
    assert f'value="{fields["key"]}"'.encode() in answer.body
    assert (await ada.post(path, fields)).headers["location"] == f"/payments/{payment}?done=refund"
    assert await refunds(pages) == [2_500]


async def test_refund_page_repeats_what_happens(pages: ServedPages) -> None:
    payment, ada = await pages.paid(), await pages.log_in("ada", "support")
    text = (await ada.get(f"/payments/{payment}/refund")).body.decode()

    for words in ("1,000.00 EUR", "user-ada", "o-1", "cannot be undone", "up to 100.00 EUR", 'value="1000.00"'):
        assert words in text


@pytest.mark.parametrize("amount", ["", "0", "-5", "5.001", "1000.01", "1e3", "25,00"])
async def test_impossible_amount_is_refused_on_the_form(pages: ServedPages, amount: str) -> None:
    payment, grace = await pages.paid(), await pages.log_in("grace", "finance")
    text = await refund(grace, payment, amount)

    assert 'role="alert"' in text
    assert f'value="{amount}"' in text
    assert await refunds(pages) == []


async def test_support_cannot_split_a_refund_to_stay_below_the_limit(pages: ServedPages) -> None:
    payment, ada = await pages.paid(), await pages.log_in("ada", "support")

    assert (await refund(ada, payment, "60.00")).endswith("done=refund")
    assert (await refund(ada, payment, "40.00")).endswith("done=refund")
    assert (await refund(ada, payment, "0.01")).endswith("done=approval")
    assert await refunds(pages) == [6_000, 4_000]


async def test_finance_refunds_any_amount_alone(pages: ServedPages) -> None:
    payment, grace = await pages.paid(), await pages.log_in("grace", "finance")
    assert (await refund(grace, payment, "1000.00")).endswith("done=refund")
    assert await refunds(pages) == [100_000]


async def test_second_person_approves_a_refund_once(pages: ServedPages) -> None:
    payment, ada, bob = await pages.paid(), await pages.log_in("ada", "support"), await pages.log_in("bob", "support")
    path = await request_approval(pages, ada, payment, "500.00")
    assert await refunds(pages) == []

    carol = await pages.log_in("carol", "finance")
    pressed = [(one, await one.hidden(path, f"{path}/approve")) for one in (bob, bob, carol)]
    answers = await asyncio.gather(*(one.post(f"{path}/approve", fields) for one, fields in pressed))

    assert HTTPStatus.SEE_OTHER in {answer.status for answer in answers}
    assert await refunds(pages) == [50_000]
    [winner, loser] = ["bob", "carol"] if answers[2].status == HTTPStatus.CONFLICT else ["carol", "bob"]
    late, fields = pressed[2 if loser == "carol" else 0]
    again = await late.post(f"{path}/approve", fields)
    assert f"{winner} has approved this request already".encode() in again.body
    assert b"No refund waits for a second person" in (await bob.get("/approvals")).body
    audit = await pages.audit()
    assert audit[0] == ("pages:ada", "refund.request_approval")
    assert [action for _, action in audit] == ["refund.request_approval", "refund"]
    assert audit[1][0] in {"pages:bob", "pages:carol"}


async def test_nobody_approves_their_own_request(pages: ServedPages) -> None:
    payment, ada = await pages.paid(), await pages.log_in("ada", "support")
    path = await request_approval(pages, ada, payment, "500.00")
    other_session = await pages.log_in("Ada", "finance")
    for one in (ada, other_session):
        answer = await one.post(f"{path}/approve", await one.hidden(path, f"{path}/decline"))
        assert answer.status == HTTPStatus.CONFLICT
        assert b"a second person must approve it" in answer.body

    assert await refunds(pages) == []
    assert (await ada.submit(path, f"{path}/decline")).headers["location"].endswith("done=decline")


async def test_expired_and_declined_requests_are_not_approved(pages: ServedPages) -> None:
    payment, ada, bob = await pages.paid(), await pages.log_in("ada", "support"), await pages.log_in("bob", "support")
    path = await request_approval(pages, ada, payment, "500.00")
    fields = await bob.hidden(path, f"{path}/approve")
    await pages.flows.pool.execute("UPDATE approvals SET expires_at = now()")
    expired = await bob.post(f"{path}/approve", fields)
    path = await request_approval(pages, ada, payment, "400.00")
    fields = await bob.hidden(path, f"{path}/approve")
    await bob.submit(path, f"{path}/decline")
    declined = await bob.post(f"{path}/approve", fields)

    assert b"expired after 24 hours" in expired.body
    assert b"bob has declined this request already" in declined.body
    assert await refunds(pages) == []


async def test_approval_of_money_that_was_refunded_meanwhile_changes_nothing(pages: ServedPages) -> None:
    payment, ada, bob = await pages.paid(), await pages.log_in("ada", "support"), await pages.log_in("bob", "finance")
    path = await request_approval(pages, ada, payment, "1000.00")
    await refund(bob, payment, "900.00")
    answer = await bob.submit(path, f"{path}/approve")

    assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert await refunds(pages) == [90_000]
    assert await pages.flows.pool.fetchval("SELECT decision FROM approvals") is None


async def test_payment_is_captured_and_canceled_by_forms(pages: ServedPages) -> None:
    first, second = await pages.paid("o-1"), await pages.paid("o-2")
    await pages.flows.pool.execute("UPDATE payments SET status = 'authorized', captured = 0, capture_method = 'manual'")
    grace = await pages.log_in("grace", "finance")
    capture, cancel = f"/payments/{first}/capture", f"/payments/{second}/cancel"

    assert (
        (await grace.submit(capture, capture, amount="900.00", reason="shipped"))
        .headers["location"]
        .endswith("done=capture")
    )
    assert (await grace.submit(cancel, cancel, reason="out of stock")).headers["location"].endswith("done=cancel")

    rows = await pages.flows.pool.fetch("SELECT payment_id, kind, state FROM operations")
    assert {(row["payment_id"], row["kind"], row["state"]) for row in rows} == {
        (first, "capture", "due"),
        (second, "cancel", "due"),
    }
    assert await pages.audit() == [("pages:grace", "capture"), ("pages:grace", "cancel")]


async def test_records_are_published_again(pages: ServedPages) -> None:
    await pages.flows.accept("o-9")
    payment = (await pages.flows.payment("o-9"))["id"]
    ops = await pages.log_in("ops", "operator")
    path = f"/payments/{payment}/republish"

    assert (await ops.submit(path, path, reason="lost")).headers["location"].endswith("done=republish")
    assert (await pages.audit())[-1] == ("pages:ops", "outbox.republish")


async def test_key_is_shown_once_and_revoked(pages: ServedPages) -> None:
    ops = await pages.log_in("ops", "operator")
    fields = {**await ops.hidden("/keys", "/keys"), "client": "shop", "scope_read": "yes"}
    created = (await ops.post("/keys", fields)).body.decode()
    again = (await ops.post("/keys", fields)).body.decode()
    key_id = await pages.flows.pool.fetchval("SELECT id FROM api_keys")

    assert "psk_" in created
    assert "has made the key" in again
    assert await pages.flows.pool.fetchval("SELECT count(*) FROM api_keys") == 1
    await ops.submit("/keys", f"/keys/{key_id}/revoke")
    assert await pages.flows.pool.fetchval("SELECT revoked_at IS NOT NULL FROM api_keys")
    assert [action for _, action in await pages.audit()] == ["keys.create", "keys.revoke"]


async def test_key_without_scope_is_refused_with_a_sentence(pages: ServedPages) -> None:
    ops = await pages.log_in("ops", "operator")
    answer = await ops.submit("/keys", "/keys", client="shop")
    assert b"A key needs at least one scope" in answer.body


async def test_parked_call_is_tried_again_and_a_quarantined_order_closed(pages: ServedPages) -> None:
    payment = await pages.paid()
    ops = await pages.log_in("ops", "operator")
    await pages.flows.pool.execute(
        """
        INSERT INTO operations (id, payment_id, provider, kind, state, cause, request_method, request_path, request_body, api_version,
                                outcome, due_at)
        VALUES (gen_random_uuid(), $1, 'stripe', 'cancel', 'parked', 'shop:1', 'POST', '/v1/payment_intents/pi_o-1/cancel', '', '1',
                'unexpected', now())
        """,
        payment,
    )
    await pages.flows.accept("bad", total="1,5")
    text = (await ops.get("/attention")).body.decode()
    assert "A call to the provider without a clear result" in text
    assert "A record or webhook that the service cannot accept" in text
    parked = await pages.flows.pool.fetchval("SELECT id FROM operations")
    kept = await pages.flows.pool.fetchval("SELECT id FROM quarantine")

    tried = await ops.submit(f"/attention/item?id={parked}", "/attention/retry")
    assert tried.headers["location"] == "/attention?done=retry"
    refused = await ops.submit(f"/attention/item?id={kept}", "/attention/retry")
    assert b'role="alert"' in refused.body, "its amount is still wrong"
    closed = await ops.submit(f"/attention/item?id={kept}", "/attention/resolve", note="the shop sent it again")
    assert closed.headers["location"] == "/attention?done=resolve"
    assert b"Nothing needs attention" in (await ops.get("/attention")).body


async def test_list_of_payments_pages_filters_and_exports(pages: ServedPages) -> None:
    for number in range(60):
        await pages.paid(f"o-{number}")
    grace = await pages.log_in("grace", "finance")
    first = (await grace.get("/payments")).body.decode()
    following = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = (await grace.get(following)).body.decode()

    assert first.count('data-label="Order"') == 50
    assert second.count('data-label="Order"') == 10
    assert "o-59" in first
    assert "o-59" not in second
    assert (await grace.get("/payments?status=failed")).body.count(b'data-label="Order"') == 0
    assert (await grace.get("/payments?since=2020-01-01&until=2099-12-31")).body.count(b'data-label="Order"') == 50
    assert (await grace.get("/payments?until=2020-01-01")).body.count(b'data-label="Order"') == 0
    rows = (await asyncio.to_thread(grace.download, "/payments.csv?status=succeeded")).splitlines()
    assert len(rows) == 61
    assert rows[0].startswith("id,order_id,")


async def test_export_has_all_rows_of_many_pages(pages: ServedPages) -> None:
    for number in range(2 * PAGE_MAX + 1):
        await pages.paid(f"o-{number}")
    grace = await pages.log_in("grace", "finance")
    rows = (await asyncio.to_thread(grace.download, "/payments.csv")).splitlines()
    assert len({row.partition(",")[0] for row in rows[1:]}) == len(rows) - 1 == 2 * PAGE_MAX + 1


async def test_every_filter_of_every_list_opens(pages: ServedPages) -> None:
    payment = await pages.paid()
    grace = await pages.log_in("grace", "finance")
    await refund(grace, payment, "5.00")
    days = "since=2020-01-01&until=2099-12-31"
    for path in (
        f"/payments?status=succeeded&currency=eur&{days}",
        f"/refunds?status=pending&{days}",
        f"/disputes?status=needs_response&{days}",
        "/disputes?all=yes",
        f"/audit?by=who&value=pages:grace&{days}",
        f"/audit?by=what&value=refund&{days}",
        f"/audit?by=payment&value={payment}",
        "/exports",
    ):
        answer = await grace.get(path)
        assert answer.status == HTTPStatus.OK, (path, answer.body)
        if "disputes" not in path and path != "/exports":
            assert b"No " not in answer.body.partition(b'<main id="content"')[2].partition(b"<footer")[0], path
    for name in ("payments", "refunds", "disputes", "audit"):
        assert await asyncio.to_thread(grace.download, f"/{name}.csv?{days}"), name
