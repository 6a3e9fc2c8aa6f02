"""Bring a database to the schema of this version: Alembic, one transaction, one process at a time."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from payment_service.db.maintain import maintain
from payment_service.db.pool import CONNECT_TIMEOUT_S
from payment_service.db.rights import DEFAULT_ROLES, Roles

# "payments" in ASCII; advisory locks are per database, so this meets nothing but ourselves.
ADVISORY_LOCK: Final = 0x7061796D656E7473
# Several replicas that migrate at once take turns; a migration that lasts longer than this is looked at by a person.
WAIT_FOR_OTHERS_S: Final = 60
WAIT_INTERVAL_S: Final = 0.2
# A migration that waits for a table makes everybody else wait behind it; after this time it gives up and nothing is changed.
LOCK_TIMEOUT_MS: Final = 4_000

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class MigrationError(Exception):
    """The schema was not changed; the message says why and what to do."""


Prepare: TypeAlias = Callable[[Connection, str | None], None]


def migrate(
    dsn: str,
    *,
    to: str = "head",
    roles: Roles = DEFAULT_ROLES,
    prepare: Prepare | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> None:
    """Bring the database at `dsn` (a URI or libpq's `key=value` form) to revision `to`; then grant rights, make partitions.

    Without effect when it is there already. `prepare` is called with the revision before, in the same transaction. `report` is
    told what was done, a line at a time. Raises MigrationError (either all of the migration happened or nothing), RightsError,
    MaintainError.
    """
    with _one_transaction(dsn) as connection:
        _wait_for_others(connection)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
        before = _revision(connection)
        (prepare or _refuse_strangers)(connection, before)
        command.upgrade(_alembic(connection=connection), to)
        after = _revision(connection)
    report(f"schema is at revision {after}" if before == after else f"schema brought from revision {before} to {after}")
    roles.grant(dsn, report=report)
    maintain(dsn, tidy=False, report=report)


def migration_sql(*, to: str = "head") -> str:
    """Give the SQL of all revisions up to `to`, for review or to be run by hand; `maintain` makes the partitions."""
    output = io.StringIO()
    command.upgrade(_alembic(output=output), to, sql=True)
    return output.getvalue()


def _alembic(*, connection: Connection | None = None, output: io.StringIO | None = None) -> AlembicConfig:
    config = AlembicConfig(output_buffer=output or io.StringIO(), stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _one_transaction(dsn: str) -> Iterator[Connection]:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            dsn, connect_timeout=CONNECT_TIMEOUT_S, application_name="payment-service migrate"
        ),
        poolclass=NullPool,
    )
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise MigrationError(_explain(error)) from error
    finally:
        engine.dispose()


def _explain(error: DBAPIError) -> str:
    text = " ".join(str(error.orig).split())
    if isinstance(error.orig, psycopg.errors.LockNotAvailable):
        return f"Another session holds a table for more than {LOCK_TIMEOUT_MS} ms; nothing was changed, run it again ({text})."
    if isinstance(error.orig, psycopg.OperationalError):
        return f"The database of DB_DSN did not answer: {text}"
    return f"The migration failed and nothing was changed: {text}"


def _wait_for_others(connection: Connection) -> None:
    # Tried again and again, not waited for: one that waits in the server would be bound by lock_timeout and hide who it waits for.
    deadline = time.monotonic() + WAIT_FOR_OTHERS_S
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})").scalar():
        if time.monotonic() > deadline:
            message = f"Another `payment-service migrate` has been running for {WAIT_FOR_OTHERS_S} s; wait for it, then run this again."
            raise MigrationError(message)
        time.sleep(WAIT_INTERVAL_S)


def _refuse_strangers(connection: Connection, revision: str | None) -> None:
    if revision is None and connection.exec_driver_sql("SELECT to_regclass('payments')").scalar() is not None:
        message = (
            "There is a table payments that this service did not make. If it is the model's, `payment-service migrate --adopt` "
            "takes it over (docs/upgrading.md); else give this service a database of its own."
        )
        raise MigrationError(message)


def _revision(connection: Connection) -> str | None:
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    revision: str | None = connection.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar()
    return revision
