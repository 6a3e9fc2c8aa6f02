"""Lists of Stripe's objects: paging, metadata, objects that cannot be read, and the judgment on them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from payment_service.db.comparisons import KnownPayment
from payment_service.domain.payment import IntentFact, Payment, Status
from payment_service.flows.reconciliation.judgments import Rows, judge
from payment_service.provider.listed_objects import ListedObject, ListedPage, NoObject, ObjectKind
from payment_service.provider.port import Transient
from payment_service.provider.stripe.list_pages import read_page
from payment_service.provider.stripe.object_lists import list_path, read_objects, read_one, read_path
from payment_service.provider.stripe.responses import Response
from payment_service_events.currency import currency
from payment_service_events.money import Money

PAYMENT = UUID("ae21913b-5b2f-5c29-8abf-153dfb1cfa87")
METADATA = {"deployment": "default", "order_id": "o-1", "payment_id": str(PAYMENT)}
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "created": 1_798_207_200,
    "amount": 1990,
    "amount_received": 1990,
    "currency": "eur",
    "status": "succeeded",
    "payment_method_types": ["card"],
    "metadata": METADATA,
}


def page(*objects: Any, has_more: bool = False, kind: ObjectKind = ObjectKind.INTENT) -> ListedPage | Transient:
    """Read a page with these objects."""
    body = {"object": "list", "data": list(objects), "has_more": has_more}
    return read_objects(kind, Response(status=200, headers={}, body=body), installation="i-1", now_s=1_798_207_300)


def one(raw: Any, kind: ObjectKind = ObjectKind.INTENT) -> ListedObject:
    """Read an object from a page."""
    found = page(raw, kind=kind)
    assert isinstance(found, ListedPage)
    return found.objects[0]


def rows(**changes: Any) -> Rows:
    """Return the row of the payment that owns `pi_1`."""
    unit = currency("eur")
    payment = Payment(
        id=PAYMENT,
        order_id="o-1",
        attempt=1,
        user_id="",
        provider="stripe",
        provider_payment_id="pi_1",
        amount=Money(1990, unit),
        captured=Money(1990, unit),
        refunded=Money(0, unit),
        reserved=Money(0, unit),
        status=Status.SUCCEEDED,
        method="card",
        sequence=2,
        key=None,
        declines=(),
        paid_at=None,
    )
    known = KnownPayment(
        payment=payment,
        manual_capture=False,
        created_at=datetime.now(UTC),
        in_flight=False,
        kinds=frozenset({"create"}),
    )
    return Rows(deployment="default", by_intent={"pi_1": known}, by_id={PAYMENT: known}, **changes)


def codes(listed: ListedObject) -> list[str] | None:
    """Return the codes of the differences of an object."""
    found = judge(listed, rows())
    return None if found is None else [judgment.difference.code for judgment in found]


def test_paths_limit_the_window_and_expand_the_charge() -> None:
    assert list_path(ObjectKind.REFUND, created_from=1, created_to=2, after="re_1") == (
        "/v1/refunds?created%5Bgte%5D=1&created%5Blte%5D=2&limit=100&starting_after=re_1"
    )
    assert "expand%5B%5D=data.latest_charge.balance_transaction" in list_path(
        ObjectKind.INTENT, created_from=1, created_to=2, after=""
    )
    assert read_path(ObjectKind.DISPUTE, "du/1") == "/v1/disputes/du%2F1"


def test_pages_are_followed_until_the_last_one() -> None:
    first, last = page(INTENT, has_more=True), page(INTENT)
    assert isinstance(first, ListedPage)
    assert isinstance(last, ListedPage)
    assert (first.after, last.after) == ("pi_1", None)


@pytest.mark.parametrize(
    "body", [None, [], {"data": None}, {"data": [], "has_more": True}, {"data": [1], "has_more": True}]
)
def test_a_page_that_cannot_be_continued_is_read_again(body: object) -> None:
    assert isinstance(
        read_objects(ObjectKind.INTENT, Response(status=200, headers={}, body=body), installation="i-1", now_s=0),
        Transient,
    )


async def test_a_list_that_repeats_its_page_does_not_go_on_for_ever() -> None:
    async def repeat(_path: str) -> Response:
        return Response(status=200, headers={}, body={"data": [INTENT], "has_more": True})

    response = await repeat("")
    stuck = Transient(code="list_does_not_advance", retry_after_s=0)
    assert read_objects(ObjectKind.INTENT, response, installation="i-1", now_s=0, after="pi_1") == stuck
    assert await read_page(repeat, "/v1/events", {}, now_s=0, after="pi_1") == stuck


def test_an_equal_object_is_no_difference() -> None:
    listed = one(INTENT)
    assert isinstance(listed.fact, IntentFact)
    assert codes(listed) == []


@pytest.mark.parametrize(
    ("kind", "raw", "code"),
    [
        (ObjectKind.INTENT, {**INTENT, "status": "of_tomorrow"}, "malformed_intent"),
        (ObjectKind.INTENT, {**INTENT, "amount": "19.90"}, "malformed_intent"),
        (ObjectKind.CHARGE, {"id": "ch_1", "payment_intent": "pi_1", "status": "succeeded"}, "malformed_charge"),
        (ObjectKind.REFUND, {"id": "re_1", "payment_intent": "pi_1", "object": "refund"}, "malformed_refund"),
        (ObjectKind.DISPUTE, {"id": "du_1", "payment_intent": "pi_1", "status": "of_tomorrow"}, "malformed_dispute"),
    ],
)
def test_a_malformed_object_of_ours_is_a_difference_and_blocks_no_other(
    kind: ObjectKind, raw: dict[str, Any], code: str
) -> None:
    assert codes(one(raw, kind)) == [code]


@pytest.mark.parametrize(
    "raw",
    [
        1,
        None,
        {},
        {"id": 7},
        {"id": "pi_2", "metadata": [1]},
        {"id": "pi_2", "metadata": {"deployment": "x"}},
        {"id": "pi_2", "metadata": {**METADATA, "installation": "i-2"}},
    ],
)
@pytest.mark.parametrize("kind", list(ObjectKind))
def test_an_object_of_another_program_is_ignored_whatever_it_is(kind: ObjectKind, raw: object) -> None:
    assert codes(one(raw, kind)) is None


@pytest.mark.parametrize("status", ["failed", "pending"])
def test_a_charge_that_moved_no_money_is_no_difference(status: str) -> None:
    assert (
        codes(one({"id": "ch_1", "payment_intent": None, "status": status, "metadata": METADATA}, ObjectKind.CHARGE))
        == []
    )


def test_only_stripes_own_answer_says_that_an_object_does_not_exist() -> None:
    missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
    answers = [(404, missing), (404, None), (500, missing), (200, {**INTENT, "id": "pi_9"}), (200, INTENT)]
    found = [
        type(
            read_one(
                ObjectKind.INTENT, "pi_1", Response(status=status, headers={}, body=body), installation="i-1", now_s=0
            )
        )
        for status, body in answers
    ]
    assert found == [NoObject, Transient, Transient, Transient, ListedObject]
