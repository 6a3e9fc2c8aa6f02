"""Create the database roles if they are missing, and set the passwords that credentials.py created.

The job `roles` of compose.yaml runs this at every start, as the administrator, in one transaction. `payment-service migrate
--roles` defines the privileges, and `migrate` extends them. Passwords are set each time, in case a volume was recreated.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from payment_service.db.rights import DEFAULT_ROLES

USERS: Final = {
    "owner": DEFAULT_ROLES.owner,
    "service": DEFAULT_ROLES.service,
    "operator": DEFAULT_ROLES.operator,
    "reader": DEFAULT_ROLES.reader,
}


def main(folder: Path) -> None:
    """Connect with the `dsn` of `admin` and set the `password` of each other role."""
    with psycopg.connect((folder / "admin" / "dsn").read_text()) as session:
        if session.execute("SELECT FROM pg_roles WHERE rolname = %s", [DEFAULT_ROLES.owner]).fetchone() is None:
            session.execute(DEFAULT_ROLES.script().encode())
        for name, user in USERS.items():
            session.execute(_password(session, user, (folder / name / "password").read_text()))


def _password(session: psycopg.Connection, user: str, password: str) -> sql.Composed:
    """Return the statement with the password's verifier, so that no server log contains the password."""
    verifier = session.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    return sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(verifier))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
