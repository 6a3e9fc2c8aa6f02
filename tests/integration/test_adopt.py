"""Taking over the model's tables: what becomes of each row, what is left for a person, and a move that is killed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payment_service.db import adopt as adoption
from payment_service.db.adopt import AdoptError, adopt
from payment_service.db.migrate import MigrationError, migrate
from payment_service.db.schema import SchemaError
from tests.support.command import run
from tests.support.model_tables import ModelTables

ROWS = "SELECT id, order_id, n, status, amount, captured, refunded, provider_payment_id FROM payments ORDER BY id"
CALLS = "SELECT payment_id, kind, cause, request_method, request_path FROM operations ORDER BY payment_id, kind, cause"


@pytest.fixture
def model(empty_database_dsn: str) -> ModelTables:
    """Give a database that has the model's tables."""
    return ModelTables(empty_database_dsn)


def move(model: ModelTables) -> list[str]:
    """Adopt, and give the lines of the report; rows that are not taken are no failure here."""
    lines: list[str] = []
    try:
        adopt(model.dsn, report=lines.append)
    except AdoptError as error:
        assert "model_adoption_report" in str(error)  # noqa: PT017 - what is raised at the end beside the report
    return lines


def reported(model: ModelTables) -> dict[UUID, tuple[str, UUID | None]]:
    """Give why each row that was not taken was not, and beside which payment."""
    return {row[0]: row[1:] for row in model.query("SELECT payment_id, reason, beside FROM model_adoption_report")}


@pytest.mark.parametrize(
    ("was", "status", "captured", "refunded", "calls"),
    [
        ("succeeded", "succeeded", 1999, 0, []),
        ("refunded", "succeeded", 1999, 1999, ["refunds:adopted"]),
        ("partially_refunded", "succeeded", 1999, 0, ["refunds:adopted"]),
        ("pending", "pending", 0, 0, ["intent:adopted"]),
        ("failed", "declined", 0, 0, []),
    ],
)
def test_a_status_becomes_what_is_true_at_the_provider_and_what_it_leaves_open_is_read(
    model: ModelTables, was: str, status: str, captured: int, refunded: int, calls: Sequence[str]
) -> None:
    """What the model calls failed was declined: its intent may still be paid."""
    payment = model.pay(order := uuid4(), status=was)
    adopt(model.dsn)
    assert model.query(ROWS) == [
        (payment, str(order), 1, status, 1999, captured, refunded, f"pi_{payment.hex}"),
    ]
    assert [row[2] for row in model.query(CALLS)] == calls
    assert model.query("SELECT user_id, sequence, metadata, payment_method_type FROM payments") == [("", 0, {}, "card")]
    assert model.query("SELECT count(*) FROM outbox") == [(0,)]


def test_a_payment_that_failed_without_an_intent_has_failed_for_good(model: ModelTables) -> None:
    model.pay(status="failed", provider_payment_id=None)
    adopt(model.dsn)
    assert model.query("SELECT status, fact_rank FROM payments") == [("failed", 2)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"amount": "19.989999"}, "amount_has_too_many_decimals"),
        ({"amount": "0.001"}, "amount_has_too_many_decimals"),
        ({"amount": "500.5", "currency": "jpy"}, "amount_has_too_many_decimals"),
        ({"amount": "1.2345", "currency": "kwd"}, "amount_has_too_many_decimals"),
        ({"amount": "-1"}, "amount_not_positive"),
        ({"amount": "0"}, "amount_not_positive"),
        ({"amount": None}, "amount_missing"),
        ({"amount": "NaN"}, "amount_too_large"),
        ({"amount": "Infinity"}, "amount_too_large"),
        ({"amount": "10000000000"}, "amount_too_large"),
        ({"currency": "xxx"}, "unknown_currency"),
        ({"currency": None}, "unknown_currency"),
        ({"status": "lost"}, "unknown_status"),
        ({"status": None}, "unknown_status"),
        ({"provider": "paypal"}, "unknown_provider"),
        ({"provider": None}, "unknown_provider"),
        ({"provider_payment_id": "pi_1 OR 1=1"}, "intent_id_malformed"),
        ({"provider_payment_id": "", "status": "pending"}, "intent_id_missing"),
        ({"provider_payment_id": None}, "intent_id_missing"),
    ],
)
def test_what_can_not_be_taken_as_it_stands_is_reported_row_by_row_and_stops_no_other(
    model: ModelTables, row: dict[str, Any], reason: str
) -> None:
    bad, good = model.pay(**row), model.pay()
    with pytest.raises(AdoptError, match="1 payments are in the table model_adoption_report"):
        adopt(model.dsn)
    assert reported(model) == {bad: (reason, None)}
    assert [payment for payment, *_ in model.query(ROWS)] == [good]


def test_an_order_id_that_is_missing_is_reported(model: ModelTables) -> None:
    payment = model.pay()
    model.execute("UPDATE payments SET order_id = NULL")
    move(model)
    assert reported(model) == {payment: ("order_id_missing", None)}


@pytest.mark.parametrize(("written", "taken"), [("19.99", [1999]), ("19.990000000000002", [])])
def test_a_column_of_floats_is_taken_where_it_names_an_amount_and_reported_where_it_is_beside_one(
    model: ModelTables, written: str, taken: list[int]
) -> None:
    model.execute("ALTER TABLE payments ALTER COLUMN amount TYPE double precision")
    model.pay(amount=written)
    move(model)
    assert [row[4] for row in model.query(ROWS)] == taken


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["usd", "jpy", "kwd"]), st.integers(1, 999_999_999_999)), min_size=1, max_size=30
    )
)
def test_whatever_is_written_is_taken_to_the_last_minor_unit(database: object, amounts: list[tuple[str, int]]) -> None:
    decimals = {"usd": 2, "jpy": 0, "kwd": 3}
    with database.database() as dsn:  # type: ignore[attr-defined]
        model = ModelTables(dsn)
        paid = {
            model.pay(currency=code, amount=f"{minor // 10 ** decimals[code]}.{minor % 10 ** decimals[code]:0{decimals[code]}d}"
                      if decimals[code] else str(minor)): minor
            for code, minor in amounts
        }  # fmt: skip
        adopt(dsn)
        assert {row[0]: row[4] for row in model.query(ROWS)} == paid


def test_of_several_payments_of_an_order_money_comes_first_then_the_newest(model: ModelTables) -> None:
    """Of the others those that may still be paid are canceled as strays; money beside money is for a person."""
    order = uuid4()
    ended = model.pay(order, status="failed", provider_payment_id=None, days=9)
    paid = model.pay(order, status="succeeded", days=8)
    declined, pending = model.pay(order, status="failed", days=7), model.pay(order, status="pending", days=6)
    refunded = model.pay(order, status="refunded", days=5)
    older, newer = model.pay(other := uuid4(), status="pending", days=5), model.pay(other, status="pending", days=4)
    move(model)
    assert {row[0]: (row[2], row[3]) for row in model.query(ROWS)} == {
        ended: (1, "failed"), paid: (2, "succeeded"), newer: (1, "pending"),
    }  # fmt: skip
    assert reported(model) == {
        declined: ("open_beside_another_payment", paid),
        pending: ("open_beside_another_payment", paid),
        refunded: ("money_beside_another_payment", paid),
        older: ("open_beside_another_payment", newer),
    }
    assert {row[:3] for row in model.query(CALLS)} == {
        (newer, "retrieve", "intent:adopted"),
        (newer, "cancel", f"stray:pi_{older.hex}"),
        (paid, "cancel", f"stray:pi_{declined.hex}"),
        (paid, "cancel", f"stray:pi_{pending.hex}"),
    }


def test_an_intent_that_two_rows_name_is_taken_once_and_never_canceled(model: ModelTables) -> None:
    order = uuid4()
    paid = model.pay(order, provider_payment_id="pi_1")
    again = model.pay(order, provider_payment_id="pi_1", status="pending", days=1)
    elsewhere = model.pay(provider_payment_id="pi_1", status="pending")
    move(model)
    assert [row[0] for row in model.query(ROWS)] == [paid]
    assert reported(model) == {again: ("intent_id_twice", paid), elsewhere: ("intent_id_twice", paid)}
    assert model.query(CALLS) == []


def test_what_was_reported_is_taken_by_the_next_run_once_it_is_mended(model: ModelTables) -> None:
    payment = model.pay(amount="19.989999")
    move(model)
    model.execute("UPDATE model_payments SET amount = 19.99")
    adopt(model.dsn)
    assert [row[0] for row in model.query(ROWS)] == [payment]
    assert reported(model) == {}


def test_an_order_that_the_service_has_begun_since_is_left_to_a_person(model: ModelTables) -> None:
    payment = model.pay(order := uuid4(), amount="19.989999")
    move(model)
    model.execute(
        "INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset) "
        "VALUES (gen_random_uuid(), %s, 'stripe', 1999, 'usd', 'orders.created', 0, 0)",
        str(order),
    )
    model.execute("UPDATE model_payments SET amount = 19.99")
    move(model)
    assert reported(model) == {payment: ("order_has_a_payment_already", None)}


def test_a_dry_run_says_the_same_and_changes_nothing(model: ModelTables) -> None:
    model.pay()
    model.pay(amount="0.001")
    lines: list[str] = []
    with pytest.raises(AdoptError, match="1 payments would be in the table"):
        adopt(model.dsn, dry_run=True, report=lines.append)
    assert model.query(
        "SELECT count(*), to_regclass('model_payments'), to_regclass('alembic_version') FROM payments"
    ) == [(2, None, None)]
    said = move(model)
    assert lines[1:] == [line for line in said if line in lines]
    assert "usd: 1 payments over 19.99, captured 19.99, fully refunded 0.00" in lines


def test_the_tables_and_their_rows_are_kept_under_another_name(model: ModelTables) -> None:
    model.pay(amount="19.90")
    before = model.query("SELECT * FROM payments")
    adopt(model.dsn)
    assert model.query("SELECT * FROM model_payments") == before
    assert model.query("SELECT count(*) FROM model_payment_events") == [(0,)]
    assert model.query("SELECT amount::text, status FROM payments_decimal") == [("19.90", "succeeded")]


def test_a_migration_that_was_not_told_to_adopt_touches_no_table_of_the_model(model: ModelTables) -> None:
    with pytest.raises(MigrationError, match="migrate --adopt"):
        migrate(model.dsn)
    assert model.query("SELECT to_regclass('alembic_version')") == [(None,)]


def test_there_is_nothing_to_adopt_in_other_databases(empty_database_dsn: str, database_dsn: str) -> None:
    for dsn in (empty_database_dsn, database_dsn):
        with pytest.raises(MigrationError, match="There is nothing to adopt"):
            adopt(dsn)


def test_a_table_of_that_name_which_is_not_the_model_s_is_left_alone(model: ModelTables) -> None:
    model.execute("ALTER TABLE payments DROP COLUMN metadata")
    for dry_run in (True, False):
        with pytest.raises((MigrationError, AdoptError), match="it lacks metadata"):
            adopt(model.dsn, dry_run=dry_run)
    assert model.query("SELECT to_regclass('model_payments')") == [(None,)]


@pytest.mark.parametrize(
    "point",
    [
        "adopt.aside.after",
        "adopt.barred.after",
        "adopt.batch.commit.before:2",
        "adopt.batch.commit.after",
        "adopt.events.commit.before",
        "adopt.report.commit.before",
    ],
)
def test_a_move_that_is_killed_is_gone_on_with_by_the_same_command(model: ModelTables, point: str) -> None:
    model.fill(adoption.BATCH_ROWS + 1000)
    model.tell(model.pay(), event("evt_1"))
    killed = run("migrate", "--adopt", env={"DB_DSN": model.dsn, "CRASH_AT": point})
    assert f"crash point reached: {point.partition(':')[0]}" in killed.stderr
    again = run("migrate", "--adopt", env={"DB_DSN": model.dsn})
    assert again.returncode == 0, again.stderr
    assert "no difference" in again.stdout
    assert model.query("SELECT count(*), count(DISTINCT provider_payment_id) FROM payments") == [
        (adoption.BATCH_ROWS + 1001, adoption.BATCH_ROWS + 1001)
    ]
    assert model.query("SELECT count(*) FROM payments WHERE status = 'pending'") == model.query(
        "SELECT count(*) FROM operations WHERE cause = 'intent:adopted'"
    )
    assert model.query("SELECT count(*), count(DISTINCT payment_id) FROM payment_history") == [
        (adoption.BATCH_ROWS + 1001, adoption.BATCH_ROWS + 1001)
    ]
    assert model.query("SELECT count(*) FROM payment_events") == [(1,)]


def test_whatever_is_not_taken_yet_when_a_move_is_killed_bars_its_order(model: ModelTables) -> None:
    """The service may be started though the move was not finished: an order that comes again must not be paid twice."""
    model.fill(adoption.BATCH_ROWS + 1000)
    run("migrate", "--adopt", env={"DB_DSN": model.dsn, "CRASH_AT": "adopt.batch.commit.after"})
    left = "SELECT order_id::text FROM model_payments EXCEPT SELECT order_id FROM payments ORDER BY 1"
    barred = "SELECT order_id FROM model_adoption_report WHERE reason = 'not_taken_yet' ORDER BY 1"
    assert len(model.query(left)) == 1000
    assert {row[0] for row in model.query(left)} <= {row[0] for row in model.query(barred)}
    adopt(model.dsn)
    assert model.query(barred) == []


@pytest.mark.parametrize(("point", "barred"), [("adopt.aside.after", 0), ("adopt.barred.after", 1)])
def test_no_service_starts_before_every_order_of_the_model_is_taken_or_barred(
    model: ModelTables, service_env: dict[str, str], point: str, barred: int
) -> None:
    """Whatever brings it up after the machine went down, and whatever its job of `migrate` was told."""
    model.pay()
    run("migrate", "--adopt", env={"DB_DSN": model.dsn, "CRASH_AT": point})
    assert model.query("SELECT count(*) FROM model_adoption_report WHERE reason = 'not_taken_yet'") == [(barred,)]
    migrated = run("migrate", env={"DB_DSN": model.dsn})
    assert (migrated.returncode, "run `payment-service migrate --adopt`" in migrated.stderr) == (1, True)
    served = run("serve", env={**service_env, "DB_DSN": model.dsn})
    assert (served.returncode, "this version needs" in served.stderr) == (3, True), served.stderr


def test_a_takeover_that_ended_between_its_first_two_revisions_is_gone_on_with_by_adopt_alone(
    model: ModelTables,
) -> None:
    payment = model.pay()
    with pytest.raises(SchemaError):  # of the partitions, which need the second
        migrate(model.dsn, to="1", prepare=adoption._set_aside)
    with pytest.raises(MigrationError, match="run `payment-service migrate --adopt`"):
        migrate(model.dsn)
    adopt(model.dsn)
    assert [row[0] for row in model.query(ROWS)] == [payment]


def test_a_store_that_was_taken_over_is_migrated_as_any_other(model: ModelTables) -> None:
    """Though the model's tables are still there."""
    payment = model.pay()
    adopt(model.dsn)
    migrate(model.dsn)
    assert [row[0] for row in model.query(ROWS)] == [payment]


def test_an_amount_that_is_no_number_stops_it_while_nothing_is_changed(model: ModelTables) -> None:
    model.execute("ALTER TABLE payments ALTER COLUMN amount TYPE text")
    payment = model.pay(amount="abc")
    with pytest.raises(AdoptError, match=r"Nothing was changed; mend this, and run it again .*abc"):
        adopt(model.dsn)
    assert model.query("SELECT to_regclass('model_payments'), to_regclass('alembic_version')") == [(None, None)]
    model.execute("UPDATE payments SET amount = '19.99'")
    adopt(model.dsn)
    assert [row[0] for row in model.query(ROWS)] == [payment]


def event(event_id: str, kind: str = "payment_intent.succeeded", **subject: object) -> dict[str, object]:
    """An event as the provider sends it."""
    return {
        "id": event_id, "object": "event", "type": kind, "livemode": False, "created": int(time.time()) - 60,
        "data": {"object": {"id": "pi_1", "client_secret": "pi_1_secret_x", "metadata": {}, **subject}},
    }  # fmt: skip


def test_recent_events_are_kept_without_secrets_so_that_none_has_its_effect_twice(model: ModelTables) -> None:
    payment = model.pay()
    model.tell(payment, event("evt_done"))
    model.tell(payment, event("evt_waits"), processed=False)
    model.tell(payment, {"id": "evt_part", "type": "payment_intent.succeeded"})
    model.tell(payment, {**event("evt_unnamed"), "id": None})
    adopt(model.dsn)
    kept = model.query(
        "SELECT provider_event_id, payment_id, processed, retry_at IS NOT NULL, payload::text LIKE '%secret%' "
        "FROM payment_events ORDER BY 1"
    )
    assert kept == [("evt_done", payment, True, False, False), ("evt_waits", payment, False, True, False)]


def test_two_moves_at_once_take_each_payment_once(model: ModelTables) -> None:
    payment = model.pay()
    move(model)
    with psycopg.connect(model.dsn) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [adoption.ADVISORY_LOCK])
        with pytest.raises(AdoptError, match="Another `migrate --adopt` is at work"):
            adopt(model.dsn)
    assert [row[0] for row in model.query(ROWS)] == [payment]
