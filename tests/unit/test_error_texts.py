"""Database errors are said in PostgreSQL's words, with the cure."""

from __future__ import annotations

import socket

import asyncpg
import pytest

from payment_service.telemetry.errors import error_fields, explain_database_error


@pytest.mark.parametrize(
    ("error", "sentences"),
    [
        (
            asyncpg.InvalidPasswordError('password authentication failed for user "payments"'),
            'Cannot connect to PostgreSQL: password authentication failed for user "payments". Check the user and the password',
        ),
        (
            asyncpg.TooManyConnectionsError("sorry, too many clients already"),
            "Cannot connect to PostgreSQL: sorry, too many clients already. Raise the server's max_connections",
        ),
        (
            asyncpg.DiskFullError("could not extend file"),
            "PostgreSQL refused the request: could not extend file. Free space on the server's disk.",
        ),
        (
            asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
            "PostgreSQL refused the request: canceling statement due to statement timeout. Run `payment-service doctor`",
        ),
        (
            socket.gaierror(-2, "Name or service not known"),
            "Cannot connect to PostgreSQL: Name or service not known. Check the host in DB_DSN",
        ),
        (ConnectionRefusedError(111, "x"), "Cannot connect to PostgreSQL: Connection refused. Check DB_DSN and that the server runs."),
        (TimeoutError(), "Cannot connect to PostgreSQL: timed out. Check the host and port in DB_DSN"),
        (asyncpg.InterfaceError("connection is closed"), "Cannot connect to PostgreSQL: connection is closed. Check DB_DSN"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_an_error_is_explained(error: Exception, sentences: str) -> None:
    assert explain_database_error(error).startswith(sentences)


def test_a_log_line_names_the_class_of_a_defect_only() -> None:
    assert error_fields(asyncpg.DiskFullError("no space left")) == {
        "error": "no space left",
        "fix": "Free space on the server's disk",
    }
    assert error_fields(ConnectionRefusedError(111, "x")) == {"error": "Connection refused"}
    assert error_fields(KeyError("name")) == {"error": "KeyError", "detail": "'name'"}
