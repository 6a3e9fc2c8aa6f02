"""Test the three database roles on a real server: least privileges, kept through migrations and new partitions."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import payment_service
from payment_service.config.dsn import read_dsn
from payment_service.db.maintain import maintain
from payment_service.db.migrate import migrate
from payment_service.db.pool import Connector
from payment_service.db.rights import (
    HIDDEN,
    RightsError,
    RoleReport,
    Roles,
    compare_role,
    reader_rights,
    service_rights,
)
from payment_service.db.schema import SCHEMA_REVISION_NEEDED

PACKAGE: Final = Path(payment_service.__file__).parent
# Run by the owner.
OWNERS: Final = {"maintain.sql", "roles.sql", "rights.sql"}
PARTITION: Final = re.compile(r"_[0-9]{8}$")


@dataclass(frozen=True)
class RolesDatabase:
    """A database on which the role script has run, with a DSN per role."""

    admin: str
    roles: Roles

    def dsn_of(self, role: str) -> str:
        """Return the DSN of a role."""
        return make_conninfo(self.admin, user=role, password="suite22")

    def run(self, *statements: str, role: str = "") -> list[tuple[Any, ...]]:
        """Run statements as the administrator or a role. Return the rows of the last one."""
        with psycopg.connect(self.dsn_of(role) if role else self.admin, autocommit=True) as connection:
            for statement in statements[:-1]:
                connection.execute(statement.encode())
            cursor = connection.execute(statements[-1].encode())
            return cursor.fetchall() if cursor.description else []

    async def compare_role(self, role: str) -> RoleReport:
        """Return the service's own report about its role."""
        connection = await Connector(read_dsn(self.dsn_of(role)))()
        found = await compare_role(connection)
        await connection.close()
        assert found is not None
        return found


@pytest.fixture
def roles_database(empty_database_dsn: str) -> Iterator[RolesDatabase]:
    roles = Roles(f"suite_{uuid.uuid4().hex[:8]}")
    roles_database = RolesDatabase(empty_database_dsn, roles)
    names = (roles.owner, roles.service, roles.reader)
    with psycopg.connect(empty_database_dsn, autocommit=True) as admin:
        if admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() != (True,):
            pytest.skip("needs a superuser in TEST_DB_DSN to create roles")
        admin.execute(roles.script().encode())
        for name in names:
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD 'suite22'").format(sql.Identifier(name)))
        yield roles_database
        for name in names:
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def migrated(roles_database: RolesDatabase) -> RolesDatabase:
    """Return a database that the owner has migrated."""
    migrate(roles_database.dsn_of(roles_database.roles.owner), roles=roles_database.roles)
    return roles_database


def test_the_service_role_has_exactly_the_privileges_its_sql_needs() -> None:
    """A missing privilege fails here first, and so does one that no query needs."""
    needed: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.sql"):
        if path.name not in OWNERS and path.parent.name != "migrations":
            for query in re.split(r"^-- name: ", path.read_text(), flags=re.MULTILINE):
                _collect(re.sub(r"--.*", "", query), needed)
    tables = {relation: set(names.split(", ")) for relation, names in service_rights().items() if names != "USAGE"}
    assert {relation: rights for relation, rights in needed.items() if relation in tables} == tables


def _collect(query: str, needed: dict[str, set[str]]) -> None:
    for verb, pattern in {
        "INSERT": r"INSERT INTO (\w+)",
        "UPDATE": r"(?<!FOR )(?<!KEY )(?<!DO )UPDATE (\w+)",
        "DELETE": r"DELETE FROM (\w+)",
        "SELECT": r"(?:FROM|JOIN) (\w+)",
    }.items():
        for relation in re.findall(pattern, query):
            needed[relation].add(verb)
            if re.search(r"ON CONFLICT \(|RETURNING|WHERE", query):
                needed[relation].add("SELECT")
    for relation in re.findall(r"INSERT INTO (\w+).*?DO UPDATE", query, re.DOTALL):
        needed[relation].add("UPDATE")


async def test_the_roles_have_their_privileges_after_a_migration_by_the_owner(migrated: RolesDatabase) -> None:
    found = await migrated.compare_role(migrated.roles.service)
    assert found == RoleReport(
        migrated.roles.service, superuser=False, owner=False, may_create=False, missing=[], excess=[]
    )
    assert (await migrated.compare_role(migrated.roles.owner)).owner


async def test_the_role_script_can_run_after_the_schema_and_repeatedly(migrated: RolesDatabase) -> None:
    """It also revokes manual grants, on partitions too."""
    service = migrated.roles.service
    partition = next(name for (name,) in migrated.run("SELECT relname FROM pg_class") if PARTITION.search(name))
    for relation in ("audit", partition):
        migrated.run(f"GRANT UPDATE, DELETE, TRUNCATE ON {relation} TO {service}")
    assert (await migrated.compare_role(service)).excess[:3] == [
        "DELETE on audit",
        "TRUNCATE on audit",
        "UPDATE on audit",
    ]
    assert any(what.endswith(partition) for what in (await migrated.compare_role(service)).excess)
    migrated.run(migrated.roles.script(), migrated.roles.script())
    assert await migrated.compare_role(service) == RoleReport(
        service, superuser=False, owner=False, may_create=False, missing=[], excess=[]
    )


@pytest.mark.parametrize("role", ["service", "reader"])
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX ON payments (user_id)",
        "ALTER TABLE payments DROP CONSTRAINT payments_amount_in_range",
        "DROP TABLE payment_events_default",
        "TRUNCATE audit",
        "UPDATE audit SET client = ''",
        "DELETE FROM audit",
        "UPDATE payment_history SET cause = ''",
        "DELETE FROM payment_history",
        "UPDATE outbox SET payload = ''",
        "DELETE FROM outbox",
        "DELETE FROM payments",
        "DELETE FROM operations",
        "DELETE FROM quarantine",
        "UPDATE cursor_key SET key = sha256(key)",
        "UPDATE schema_minimum SET revision = 9",
        "UPDATE alembic_version SET version_num = '1'",
        "DELETE FROM api_keys",
    ],
)
def test_service_and_reader_cannot_change_the_schema_or_written_rows(
    migrated: RolesDatabase, role: str, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        migrated.run(statement, role=getattr(migrated.roles, role))


def test_partitions_have_the_restrictions_of_their_table(migrated: RolesDatabase) -> None:
    names = [name for (name,) in migrated.run("SELECT relname FROM pg_class") if PARTITION.search(name)]
    partitions = [name for name in names if name.startswith(("outbox_2", "payment_events_2"))]
    assert len(partitions) > 3
    for name in partitions:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            migrated.run(f"TRUNCATE {name}", role=migrated.roles.service)


def test_the_reader_reads_everything_but_secrets_and_stored_responses(migrated: RolesDatabase) -> None:
    every = {
        name
        for (name,) in migrated.run(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
        )
        if not PARTITION.search(name)
    }
    assert every - set(reader_rights()) - {"outbox_placements_default"} == set(HIDDEN)
    for relation in reader_rights():
        migrated.run(f"TABLE {relation} LIMIT 0", role=migrated.roles.reader)
    for relation in HIDDEN:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            migrated.run(f"TABLE {relation} LIMIT 0", role=migrated.roles.reader)


async def test_later_partitions_of_the_owner_need_no_grant(migrated: RolesDatabase) -> None:
    later = datetime.now(UTC) + timedelta(days=70)
    maintain(migrated.dsn_of(migrated.roles.owner), now=later)
    with psycopg.connect(migrated.dsn_of(migrated.roles.service)) as connection:
        partition = connection.execute(
            "INSERT INTO outbox (id, aggregatetype, aggregateid, type, headers, created_at) "
            "VALUES (gen_random_uuid(), 'dead_letter', gen_random_uuid(), 'x', '[]', %s) RETURNING tableoid::regclass::text",
            [later],
        ).fetchone()
    assert partition
    assert PARTITION.search(partition[0])
    assert (await migrated.compare_role(migrated.roles.service)).missing == []


def test_a_migration_grants_missing_privileges_and_changes_nothing_else(migrated: RolesDatabase) -> None:
    """The migration that creates a table grants the privileges on it."""
    service, owner = migrated.roles.service, migrated.dsn_of(migrated.roles.owner)
    migrated.run(f"REVOKE ALL ON audit, workers FROM {service}")
    before = migrated.run("SELECT xmin::text FROM pg_class WHERE relname = 'payments'")
    lines: list[str] = []
    migrate(owner, roles=migrated.roles, report=lines.append)
    assert f"granted 6 privileges to {service}" in lines
    lines.clear()
    migrate(owner, roles=migrated.roles, report=lines.append)
    assert lines == [f"schema is at revision {SCHEMA_REVISION_NEEDED}"]
    assert migrated.run("SELECT xmin::text FROM pg_class WHERE relname = 'payments'") == before


def test_a_role_that_may_not_grant_gets_a_one_line_error(migrated: RolesDatabase) -> None:
    migrated.run(f"REVOKE ALL ON audit FROM {migrated.roles.service}")
    with pytest.raises(RightsError, match=r"INSERT on audit could not be granted .* as the owner"):
        migrated.roles.grant(migrated.dsn_of(migrated.roles.reader), report=print)


@pytest.mark.parametrize("command", [migrate, maintain])
def test_migrate_and_maintain_need_the_owner(migrated: RolesDatabase, command: object) -> None:
    """Under the service's role both fail instead of doing half of the work."""
    later = {"now": datetime.now(UTC) + timedelta(days=70)} if command is maintain else {}
    migrated.run("UPDATE alembic_version SET version_num = '1'")
    with pytest.raises(Exception, match=r"permission denied|must be owner"):
        command(migrated.dsn_of(migrated.roles.service), **later)  # type: ignore[operator]
