"""Migrate a database to the schema of this version with Alembic: one transaction per revision, one process at a time."""

from __future__ import annotations

import io
import os
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
from payment_service.db.owner import connect_owner
from payment_service.db.rights import DEFAULT_ROLES, Roles
from payment_service.provider.plugins import installed

# "payments" in ASCII. Advisory locks are per database, so no other program takes this one.
ADVISORY_LOCK: Final = 0x7061796D656E7473
# Replicas that migrate at the same time take turns. A migration that runs longer than this needs an operator.
WAIT_FOR_OTHERS_S: Final = 60
WAIT_INTERVAL_S: Final = 0.2
MIGRATIONS: Final = Path(__file__).parent / "migrations"
# The name of a provider is a name in PROVIDERS, without quotes.
_RECORD_SCRIPT: Final = (
    "INSERT INTO provider_schemas (provider, revision) VALUES ('{provider}', {number}) "
    "ON CONFLICT (provider) DO UPDATE SET revision = excluded.revision"
)
VERSIONS: tuple[Path, ...] = (MIGRATIONS / "versions",)  # tests add a folder with an example


class MigrationError(Exception):
    """A migration failed. The message says why and what to do; completed revisions are kept."""


def migrate(
    dsn: str,
    *,
    to: str = "head",
    roles: Roles = DEFAULT_ROLES,
    report: Callable[[str], None] = lambda _line: None,
) -> None:
    """Migrate the database at `dsn` (a URI, or the `key=value` form of libpq) to revision `to`, create the tables of all
    installed providers, grant rights, create partitions.

    Each revision is applied completely or not at all, and the next run continues after the last complete one. `report` receives
    a line for everything that was done. Raises MigrationError, RightsError, MaintainError.
    """
    with _connection(dsn) as connection, _turn(connection):
        before = _revision(connection)
        preparations: list[Callable[[], None]] = [partial(_refuse_other_tables, connection, before)]
        for revision in _missing(before, to) or [before or to]:
            with_lock_retries(partial(_apply, connection, revision, preparations))
        after = _revision(connection)
        report(
            f"schema is at revision {after}"
            if before == after
            else f"schema migrated from revision {before} to {after}"
        )
        for provider, number, script in _missing_scripts(connection):
            with_lock_retries(partial(_apply_script, connection, provider, number, script))
            report(f"tables of the provider {provider} migrated to revision {number}")
    roles.grant(dsn, report=report)
    maintain(dsn, report=report)


def migration_sql(*, to: str = "head") -> str:
    """Return the SQL of all revisions up to `to` and of all installed providers, to review or to run with psql.

    `maintain` creates the partitions.
    """
    output = io.StringIO()
    command.upgrade(_alembic(output=output), to, sql=True)
    scripts = (
        f"BEGIN;\n\n{script.rstrip()}\n\n{_RECORD_SCRIPT.format(provider=provider, number=number)};\n\nCOMMIT;\n\n"
        for provider, plugin in installed().items()
        for number, script in enumerate(plugin.migrations, 1)
    )
    return output.getvalue() + "".join(scripts)


def _alembic(
    *,
    connection: Connection | None = None,
    preparations: Sequence[Callable[[], None]] = (),
    output: io.StringIO | None = None,
) -> AlembicConfig:
    config = AlembicConfig(output_buffer=output or io.StringIO(), stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", os.pathsep.join(str(folder).replace("%", "%%") for folder in VERSIONS))
    config.set_main_option("path_separator", "os")
    config.attributes |= {"connection": connection, "preparations": preparations}
    return config


def _missing(before: str | None, to: str) -> list[str]:
    try:
        scripts = list(ScriptDirectory.from_config(_alembic()).iterate_revisions(to, before or "base"))
    except RevisionError as error:
        message = (
            f"The schema is at revision {before}, which this version does not contain: migrate with the newest version."
        )
        raise MigrationError(message) from error
    return [script.revision for script in reversed(scripts)]


def _apply(connection: Connection, revision: str, preparations: list[Callable[[], None]], lock_timeout_ms: int) -> None:
    """Apply the next revision, in one transaction unless it runs its statements one by one."""
    connection.rollback()  # the previous try
    connection.exec_driver_sql(f"SET lock_timeout = {lock_timeout_ms}")
    connection.commit()
    command.upgrade(_alembic(connection=connection, preparations=preparations), revision)
    preparations.clear()


def _missing_scripts(connection: Connection) -> list[tuple[str, int, str]]:
    """Return the scripts of installed providers that have not run: provider, number from 1, SQL."""
    rows = connection.exec_driver_sql("SELECT provider, revision FROM provider_schemas").all()
    done: dict[str, int] = {row.provider: row.revision for row in rows}
    return [
        (provider, number, script)
        for provider, plugin in installed().items()
        for number, script in enumerate(plugin.migrations, 1)
        if number > done.get(provider, 0)
    ]


def _apply_script(connection: Connection, provider: str, number: int, script: str, lock_timeout_ms: int) -> None:
    """Run one script of a provider in a transaction."""
    connection.rollback()  # the previous try
    connection.exec_driver_sql(f"SET lock_timeout = {lock_timeout_ms}")
    for statement in (script, _RECORD_SCRIPT.format(provider=provider, number=number)):
        # SQLAlchemy would read `:x` and `%` as parameters.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    connection.commit()


@contextmanager
def _connection(dsn: str) -> Iterator[Connection]:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect_owner(
            dsn, application_name="payment-service migrate", settings={"lock_timeout": str(LAST_LOCK_TIMEOUT_MS)}
        ),
        poolclass=NullPool,
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise MigrationError(_explain(error)) from error
    except PendingRollbackError as error:  # from Alembic, when the session ends inside `autocommit_block`
        message = "The database ended the session. Completed revisions are kept; run `payment-service migrate` again."
        raise MigrationError(message) from error
    finally:
        engine.dispose()


def _explain(error: DBAPIError) -> str:
    text = " ".join(str(error.orig).split())
    if is_lock_timeout(error):
        return (
            "Another session holds a lock on a table. Completed revisions are kept; run `payment-service migrate` again when "
            f"that session has ended ({text})."
        )
    if isinstance(error.orig, psycopg.OperationalError):
        return f"Cannot connect to PostgreSQL: {text}. Check DB_DSN."
    return f"The migration failed and changed nothing; completed revisions are kept: {text}"


@contextmanager
def _turn(connection: Connection) -> Iterator[None]:
    """Hold the advisory lock of migrations until the session ends.

    Polls for the lock: a wait inside the server would end by `lock_timeout` and could not be distinguished from a locked table.
    """
    deadline = time.monotonic() + WAIT_FOR_OTHERS_S
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})").scalar():
        connection.commit()  # a concurrent index build would wait for an open transaction
        if time.monotonic() > deadline:
            message = f"Another `payment-service migrate` has run for {WAIT_FOR_OTHERS_S} s. Wait until it ends, then run this again."
            raise MigrationError(message)
        time.sleep(WAIT_INTERVAL_S)
    yield


def _refuse_other_tables(connection: Connection, revision: str | None) -> None:
    if revision is None and connection.exec_driver_sql("SELECT to_regclass('payments')").scalar() is not None:
        message = "The database has a table payments that payment-service did not create. Give payment-service its own database."
        raise MigrationError(message)


def _revision(connection: Connection) -> str | None:
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    revision: str | None = connection.exec_driver_sql("SELECT max(version_num) FROM alembic_version").scalar()
    return revision
