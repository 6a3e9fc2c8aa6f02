"""A list of columns that several queries share is written once in the SQL file."""

from __future__ import annotations

from payment_service.db.queries import columns, load

PACKAGE = "payment_service.db"


def test_save_has_a_parameter_and_an_assignment_for_every_saved_column() -> None:
    saved = columns(PACKAGE, "payments.sql", "saved")
    sql = load(PACKAGE, "payments.sql").save
    for number, column in enumerate(saved, 4):
        assert f"${number}::{column.type}[]" in sql
        assert f"{column.name} = {column.value}" in sql


def test_no_query_has_a_list_that_is_not_declared() -> None:
    for file in ("payments.sql", "payment_reads.sql"):
        for name, sql in vars(load(PACKAGE, file)).items():
            assert "{" not in sql, name


def test_an_expression_with_a_brace_is_not_taken_for_a_list() -> None:
    assert "'{}'" in load(PACKAGE, "gauges.sql").gauges
