"""A store that ran the model goes on with this service: intents that the model made are paid, refunded and told of, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.support.checker import list_all
from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.kafka import ANNOUNCEMENTS, Topics
from tests.support.model_tables import ModelTables
from tests.support.sandbox import SandboxProcess
from tests.support.service import StartService
from tests.support.shop import Shop, shops

pytestmark = pytest.mark.timeout(120)

CENTS = 1999


class ModelStore:
    """What the model did: it made intents that bear no name, and noted what it heard of them."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.tables = ModelTables(shop.dsn)
        self._stripe = shop.sandbox.client().v1

    def pay(self, status: str, order: UUID | None = None, **row: object) -> tuple[UUID, str]:
        """Make an intent and note it as `status`; give the payment's id and the intent's."""
        intent = self.make_intent()
        return self.tables.pay(order, provider_payment_id=intent, status=status, **row), intent

    def make_intent(self) -> str:
        """Make an intent of 19.99 usd without metadata."""
        form = {"amount": CENTS, "currency": "usd", "payment_method_types": ["card"]}
        return str(self._stripe.payment_intents.create(form).id)  # type: ignore[arg-type]

    def confirm(self, intent: str) -> None:
        """Let the customer pay."""
        self._stripe.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})

    def refund(self, intent: str, cents: int) -> None:
        """Give money back by hand."""
        self._stripe.refunds.create({"payment_intent": intent, "amount": cents})


@pytest.fixture
def store(topics: Topics, empty_database_dsn: str, start_service: StartService, tmp_path: Path) -> Iterator[ModelStore]:
    with shops(topics=topics, dsn=empty_database_dsn, start=start_service, folder=tmp_path) as shop:
        yield ModelStore(shop)


def move(store: ModelStore) -> None:
    moved = run("migrate", "--adopt", env={"DB_DSN": store.shop.dsn})
    assert moved.returncode == 0, moved.stderr


def told(shop: Shop) -> list[tuple[str, str, int]]:
    """Give what was announced, whatever was published twice once: topic, payment, sequence."""
    records = {record.header("ce_id"): record for record in shop.topics.read_all(ANNOUNCEMENTS)}
    return sorted((r.topic, str(r.json()["payment_id"]), r.sequence) for r in records.values())


def test_what_the_model_left_open_goes_on_and_is_announced_once(store: ModelStore) -> None:
    """Paid after the move; before it, with the webhook missed; after a decline; given back in part."""
    pending, pending_intent = store.pay("pending")
    missed, missed_intent = store.pay("pending")
    declined, declined_intent = store.pay("failed")
    partly, partly_intent = store.pay("partially_refunded")
    done, done_intent = store.pay("succeeded")
    for intent in (missed_intent, partly_intent, done_intent):
        store.confirm(intent)
    store.refund(partly_intent, 500)
    stranger = store.make_intent()
    move(store)
    shop = store.shop
    shop.serve(DB_DSN=shop.dsn)
    for intent in (pending_intent, declined_intent, stranger):
        store.confirm(intent)
    eventually(lambda: shop.count("payments", "status = 'succeeded'") == 5, timeout_s=30)
    eventually(lambda: shop.count("refunds") == 1, timeout_s=30)
    shop.wait_quiet()
    assert told(shop) == sorted(
        [
            ("payments.refunded", str(partly), 1),
            *(("payments.succeeded", str(payment), 1) for payment in (pending, missed, declined)),
        ]
    )
    rows = shop.query("SELECT id, captured, refunded FROM payments")
    assert {row["id"]: (row["captured"], row["refunded"]) for row in rows} == {
        **dict.fromkeys((pending, missed, declined, done), (CENTS, 0)),
        partly: (CENTS, 500),
    }
    assert shop.count("payment_events", "result = 'foreign'") > 0
    assert shop.count("payment_events", "parked_reason IS NOT NULL") == 0


def test_the_same_order_again_makes_no_second_intent(store: ModelStore) -> None:
    """However its payment was named, and however long ago it came."""
    payment, _ = store.pay("pending", order := uuid4())
    move(store)
    shop = store.shop
    shop.serve(DB_DSN=shop.dsn)
    shop.order(str(order), total="19.99", currency="usd")
    shop.order("another")
    shop.intent_of("another")
    assert len(list_all(shop.sandbox, "payment_intents")) == 2
    assert [row["id"] for row in shop.query("SELECT id FROM payments WHERE order_id = %s", str(order))] == [payment]
    assert shop.count("quarantine") == 0


def test_an_order_whose_payment_was_not_taken_over_is_charged_by_nobody_until_a_person_has_decided(
    store: ModelStore,
) -> None:
    """Its only payment is in the report: sent again it waits in quarantine, and is decided once the report is clear of it."""
    payment, intent = store.pay("succeeded", order := uuid4(), currency="euro")
    store.confirm(intent)
    env = {"DB_DSN": store.shop.dsn}
    assert run("migrate", "--adopt", env=env).returncode == 1
    shop = store.shop
    shop.serve(DB_DSN=shop.dsn)
    shop.write([{"order_id": str(order), "total": "19.99", "currency": "eur"}], bad=1)
    eventually(lambda: shop.count("quarantine", "reason = 'not_adopted'") == 1)
    [row] = shop.query("SELECT id, detail FROM quarantine")
    assert "model_adoption_report" in row["detail"]
    replay = ("quarantine", "replay", str(row["id"]), "--yes")
    env |= {
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": "whsec_suite",
        "KAFKA_BROKERS": "127.0.0.1:9",
    }
    early = run(*replay, env=env)
    assert (early.returncode, "not_adopted" in early.stderr) == (1, True)
    store.tables.execute("UPDATE model_payments SET currency = 'eur'")
    move(store)
    done = run(*replay, env=env)
    assert (done.returncode, str(payment) in done.stdout) == (0, True), done.stderr
    assert [row["id"] for row in shop.query("SELECT id FROM payments")] == [payment]
    assert len(list_all(shop.sandbox, "payment_intents")) == 1


def test_an_intent_beside_the_order_s_own_is_canceled_and_the_other_paid(store: ModelStore) -> None:
    """Two that the customer could pay would be a double charge in the making."""
    older, older_intent = store.pay("pending", order := uuid4(), days=2)
    newer, newer_intent = store.pay("pending", order, days=1)
    moved = run("migrate", "--adopt", env={"DB_DSN": store.shop.dsn})
    assert moved.returncode == 1
    assert store.tables.query("SELECT payment_id, reason FROM model_adoption_report") == [
        (older, "open_beside_another_payment")
    ]
    shop = store.shop
    shop.serve(DB_DSN=shop.dsn)
    eventually(lambda: intent_status(shop.sandbox, older_intent) == "canceled", timeout_s=30)
    store.confirm(newer_intent)
    eventually(lambda: shop.count("payments", "status = 'succeeded'") == 1, timeout_s=30)
    shop.wait_quiet()
    assert told(shop) == [("payments.succeeded", str(newer), 1)]


def intent_status(sandbox: SandboxProcess, intent: str) -> str:
    return str(sandbox.client().v1.payment_intents.retrieve(intent).status)
