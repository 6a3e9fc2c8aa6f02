"""Make the three roles of the database where they are not yet, and let each log in by the password that credentials.py made.

The job `roles` of compose.yaml runs it at every start, as the administrator and in one transaction. What the roles may do is said by
`payment-service migrate --roles`, and kept up by `migrate`; passwords are written again, for a volume that was lost.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from payment_service.db.rights import DEFAULT_ROLES

USERS: Final = {"owner": DEFAULT_ROLES.owner, "service": DEFAULT_ROLES.service, "reader": DEFAULT_ROLES.reader}


def main(folder: Path) -> None:
    """Log in with the `dsn` of `admin`; `password` of the others is theirs."""
    with psycopg.connect((folder / "admin" / "dsn").read_text()) as session:
        if session.execute("SELECT FROM pg_roles WHERE rolname = %s", [DEFAULT_ROLES.owner]).fetchone() is None:
            session.execute(DEFAULT_ROLES.script().encode())
        for name, user in USERS.items():
            session.execute(_password(session, user, (folder / name / "password").read_text()))


def _password(session: psycopg.Connection, user: str, password: str) -> sql.Composed:
    """Word the statement with the password's verifier, so that no log of the server holds the password."""
    verifier = session.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    return sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(verifier))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
