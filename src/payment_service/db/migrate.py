"""Bring a database to the schema of this version: Alembic, a transaction for each revision, one process at a time."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.pool import NullPool

from payment_service.db.lock_retries import LAST_LOCK_TIMEOUT_MS, is_lock_timeout, with_lock_retries
from payment_service.db.maintain import maintain
from payment_service.db.pool import CONNECT_TIMEOUT_S
from payment_service.db.rights import DEFAULT_ROLES, Roles

# "payments" in ASCII; advisory locks are per database, so this meets nothing but ourselves.
ADVISORY_LOCK: Final = 0x7061796D656E7473
# Several replicas that migrate at once take turns; a migration that lasts longer than this is looked at by a person.
WAIT_FOR_OTHERS_S: Final = 60
WAIT_INTERVAL_S: Final = 0.2
MIGRATIONS: Final = Path(__file__).parent / "migrations"


class MigrationError(Exception):
    """The schema was not changed; the message says why and what to do."""


def migrate(
    dsn: str,
    *,
    to: str = "head",
    roles: Roles = DEFAULT_ROLES,
    report: Callable[[str], None] = lambda _line: None,
) -> None:
    """Bring the database at `dsn` (a URI or libpq's `key=value` form) to revision `to`; then grant rights, make partitions.

    Without effect when it is there already. `report` is told what was done, a line at a time. Raises MigrationError (each revision happened as a whole or not at all, and
    the next run goes on), RightsError, MaintainError.
    """
    with _connection(dsn) as connection, _turn(connection):
        before = _revision(connection)
        preparations: list[Callable[[], None]] = [partial(_refuse_foreign_payments, connection, before)]
        for revision in _missing(before, to) or [before or to]:
            with_lock_retries(partial(_bring, connection, revision, preparations))
        after = _revision(connection)
    report(f"schema is at revision {after}" if before == after else f"schema brought from revision {before} to {after}")
    roles.grant(dsn, report=report)
    maintain(dsn, report=report)


def migration_sql(*, to: str = "head") -> str:
    """Give the SQL of all revisions up to `to`, for review or to be run by hand; `maintain` makes the partitions."""
    output = io.StringIO()
    command.upgrade(_alembic(output=output), to, sql=True)
    return output.getvalue()


def _alembic(
    *,
    connection: Connection | None = None,
    preparations: Sequence[Callable[[], None]] = (),
    output: io.StringIO | None = None,
) -> AlembicConfig:
    config = AlembicConfig(output_buffer=output or io.StringIO(), stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes |= {"connection": connection, "preparations": preparations}
    return config


def _missing(before: str | None, to: str) -> list[str]:
    try:
        scripts = list(ScriptDirectory.from_config(_alembic()).iterate_revisions(to, before or "base"))
    except RevisionError as error:
        message = (
            f"The schema is at revision {before}, which this version does not know: migrate with the newest version."
        )
        raise MigrationError(message) from error
    return [script.revision for script in reversed(scripts)]


def _bring(connection: Connection, revision: str, preparations: list[Callable[[], None]], lock_timeout_ms: int) -> None:
    """Bring the schema to the next revision, in one transaction unless that revision says otherwise."""
    connection.rollback()  # of the try before
    connection.exec_driver_sql(f"SET lock_timeout = {lock_timeout_ms}")
    connection.commit()
    command.upgrade(_alembic(connection=connection, preparations=preparations), revision)
    preparations.clear()


@contextmanager
def _connection(dsn: str) -> Iterator[Connection]:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            dsn,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="payment-service migrate",
            options=f"-c lock_timeout={LAST_LOCK_TIMEOUT_MS}",
        ),
        poolclass=NullPool,
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise MigrationError(_explain(error)) from error
    except PendingRollbackError as error:  # Alembic, which ends a block of a session that is gone
        message = "The database ended the session; what was done so far is kept, run it again."
        raise MigrationError(message) from error
    finally:
        engine.dispose()


def _explain(error: DBAPIError) -> str:
    text = " ".join(str(error.orig).split())
    if is_lock_timeout(error):
        return (
            f"Another session holds a table; what was done so far is kept, run it again when that has ended ({text})."
        )
    if isinstance(error.orig, psycopg.OperationalError):
        return f"The database of DB_DSN did not answer: {text}"
    return f"The migration failed; the revisions before it are kept, and nothing of it: {text}"


@contextmanager
def _turn(connection: Connection) -> Iterator[None]:
    """Be the only one who migrates; the server ends our turn with our session, however that ends.

    Tried again and again, not waited for: one that waits in the server would be bound by lock_timeout and hide who it waits for.
    """
    deadline = time.monotonic() + WAIT_FOR_OTHERS_S
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})").scalar():
        connection.commit()  # who builds an index waits for open transactions
        if time.monotonic() > deadline:
            message = f"Another `payment-service migrate` has been running for {WAIT_FOR_OTHERS_S} s; wait for it, then run this again."
            raise MigrationError(message)
        time.sleep(WAIT_INTERVAL_S)
    yield


def _refuse_foreign_payments(connection: Connection, revision: str | None) -> None:
    if revision is None and connection.exec_driver_sql("SELECT to_regclass('payments')").scalar() is not None:
        message = "The database has a table payments that payment-service did not create. Give payment-service its own database."
        raise MigrationError(message)


def _revision(connection: Connection) -> str | None:
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    revision: str | None = connection.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar()
    return revision
