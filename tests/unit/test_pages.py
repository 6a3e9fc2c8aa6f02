"""The parts of the operators' pages without a server: the story, sums, roles, settings and the shared look."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from payment_service.contracts.api import PaymentMethod
from payment_service.contracts.timeline import OrderEntry, PaymentAttemptEntry, RequestEntry, TransitionEntry
from payment_service.db.overview import Cohort
from payment_service.pages.charts import Point, bar_chart, rate_chart
from payment_service.pages.formatting import masked, money
from payment_service.pages.identity import read_name, roles_of
from payment_service.pages.permissions import Role
from payment_service.pages.story import summarize
from payment_service.pages.today import success_rate, sums_of_today
from tests.support.flows import config_for

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 12, 1, 10, tzinfo=UTC)


def transition(to: str) -> TransitionEntry:
    return TransitionEntry(
        at=AT, from_status="pending", to_status=to, cause="pi_1", published_topic=None, sequence=None, occurred_at=None
    )


def attempt(status: str, code: str | None = None) -> PaymentAttemptEntry:
    method = PaymentMethod(id=None, type="card", brand="visa", last4="0002", funding=None, country=None, wallet=None)
    return PaymentAttemptEntry(
        at=AT,
        provider_charge_id=None,
        status=status,
        amount="19.90",
        currency="eur",
        decline_code=code,
        decline_reason=None,
        payment_method=method,
        receipt_url=None,
        occurred_at=AT,
    )


def cohort(status: str, payments: int, *, today: bool = True, captured: str = "0.00") -> Cohort:
    return Cohort(
        hour=AT,
        today=today,
        currency="eur",
        status=status,
        payments=payments,
        amount="0.00",
        captured=captured,
        refunded="0.00",
    )


def test_story_names_the_card_and_the_reason_of_a_decline_once() -> None:
    order = OrderEntry(
        at=AT, order_id="o-1", payment_attempt=1, amount="19.90", currency="eur", topic="t", partition=0, offset=0
    )
    lines = summarize([order, attempt("declined", "insufficient_funds"), transition("declined")], provider="Stripe")
    assert [line.text for line in lines] == [
        "The shop ordered 19.90 EUR.",
        "The customer tried visa 0002, and it was declined (insufficient funds). They may try again.",
    ]


def test_story_says_that_a_payment_was_declined_if_no_attempt_is_known() -> None:
    assert [line.text[:25] for line in summarize([transition("declined")], provider="Stripe")] == [
        "The payment was declined."
    ]


def test_story_marks_notes() -> None:
    asked: dict[str, Any] = {"note": "Called back", "key": "page-1"}
    entry = RequestEntry(at=AT, action="note", client="pages:ada", key_id=None, address="", asked=asked)
    [line] = summarize([entry], provider="Stripe")
    assert (line.text, line.note) == ("ada: Called back", True)


def test_sums_and_rate_count_only_what_was_decided() -> None:
    cohorts = [cohort("succeeded", 3, captured="30.00"), cohort("declined", 1), cohort("pending", 5)]
    assert success_rate(cohorts) == 0.75
    assert success_rate([cohort("pending", 1)]) is None
    sums = sums_of_today([*cohorts, cohort("succeeded", 7, today=False)])["eur"]
    assert (sums.paid, str(sums.paid_amount), sums.declined, sums.open) == (3, "30.00", 1, 5)


def test_charts_escape_their_labels() -> None:
    assert "<script>" not in bar_chart("<script>", [("<script>", 1)])
    assert "<script>" not in rate_chart("<script>", [Point("<script>", 0.5)], label_every=1)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [("1234.5", "eur", "1,234.50 EUR"), ("0", "jpy", "0 JPY"), ("1", "kwd", "1.000 KWD")],
)
def test_amounts_have_the_decimals_of_their_currency(amount: str, currency: str, shown: str) -> None:
    assert money(amount, currency) == shown


def test_masks_keep_two_characters() -> None:
    assert masked("ada@shop.example") == "ad•••"
    assert masked("") == ""


def test_only_listed_groups_give_roles() -> None:
    roles = {"team": frozenset({"support", "finance"})}
    assert roles_of([" team ", "other"], roles) == {Role.SUPPORT, Role.FINANCE}
    assert roles_of(["support"], roles) == frozenset()


@pytest.mark.parametrize("name", ["", " ", "a\u202eb", "a\nb", "x" * 65, "4000056655665556"])
def test_names_that_cannot_be_shown_log_nobody_in(name: str) -> None:
    assert read_name(name) == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"admin_login": ("oidc",)}, "ADMIN_OIDC_ISSUER"),
        ({"admin_login": ("proxy",), "admin_groups": ("a:viewer",)}, "TRUSTED_PROXIES"),
        ({"admin_login": ("proxy",), "trusted_proxies": ("10.0.0.7",)}, "ADMIN_GROUPS"),
        ({"admin_login": "password"}, "must be one or more of link, proxy, oidc"),
        ({"admin_groups": "a:admin"}, "must be group:role"),
        ({"admin_url": "https://shop.example/pages"}, "without a path"),
        ({"admin_oidc_issuer": "http://shop.example"}, "https://"),
    ],
)
def test_settings_that_would_let_nobody_or_anybody_in_stop_the_start(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config_for("postgresql://127.0.0.1/x", "http://127.0.0.1:9", admin_port=8083, **changes)


def test_pages_look_like_those_of_the_sandbox() -> None:
    own = ROOT / "src" / "payment_service" / "pages" / "assets" / "style.css"
    sandbox = ROOT / "packages" / "stripe-sandbox" / "src" / "stripe_sandbox" / "pages" / "assets" / "style.css"
    assert colors(own) == colors(sandbox)


def colors(path: Path) -> list[str]:
    return re.findall(r"--[\w-]+: [^;]+;", path.read_text())
