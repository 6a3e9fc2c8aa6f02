"""Test the database roles on a real server: least privileges, kept through migrations and new partitions."""

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
from payment_service.db.queries import load
from payment_service.db.rights import (
    HIDDEN,
    RightsError,
    RoleReport,
    Roles,
    compare_role,
    operator_rights,
    read_privileges,
    reader_rights,
    service_rights,
)
from payment_service.db.schema_check import SCHEMA_REVISION_NEEDED
from tests.support.command import assert_fails, done, run

PACKAGE: Final = Path(payment_service.__file__).parent
# Run by the owner.
OWNERS: Final = {"maintain.sql", "roles.sql", "rights.sql"}
ASSIGNMENTS: Final = re.compile(
    r"(?:(?<!FOR )(?<!KEY )(?<!DO )UPDATE (\w+)(?: AS)?(?: (?!SET)\w+)?|INSERT INTO (\w+)(?:(?!INSERT INTO).)*?DO UPDATE)\s+SET\s+",
    re.DOTALL,
)
TOKENS: Final = re.compile(r"[(),]|(?<!DISTINCT )\b(?:FROM|WHERE|RETURNING)\b")
PARTITION: Final = re.compile(r"_[0-9]{8}$")
FORBIDDEN: Final = (
    "UPDATE payments SET amount = 1",
    "UPDATE payments SET currency = 'usd'",
    "UPDATE payments SET order_id = 'x'",
    "UPDATE refunds SET amount = 1",
    "UPDATE refunds SET payment_id = id",
    "UPDATE refunds SET client = 'x'",
    "UPDATE operations SET request_body = ''",
    "UPDATE operations SET payment_id = id",
    "UPDATE payment_events SET payload = '{}'",
    "UPDATE payment_events SET verified_by = 'x'",
    "UPDATE quarantine SET record_value = ''",
    "UPDATE outbox SET headers = '[]'",
    "UPDATE audit_chain SET hash = sha256(hash)",
    "DELETE FROM audit_chain",
    "INSERT INTO audit (at, client, action) VALUES (now() - interval '1 day', 'x', 'refund')",
    "INSERT INTO audit (id, client, action) OVERRIDING SYSTEM VALUE VALUES (1, 'x', 'refund')",
    "INSERT INTO audit_chain (position, audit_id, hash, sealed_at) VALUES (1, 1, sha256(''), '2020-01-01')",
    "UPDATE api_keys SET hash = sha256(hash)",
    "UPDATE api_keys SET scopes = '{admin}'",
    "UPDATE api_keys SET networks = '{}'",
    "UPDATE api_keys SET refund_amounts_max = '{}'",
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
)


# The SQL that runs under the operator's role only: the commands `keys`, and the pages.
OF_OPERATORS = ("api_key_changes.sql", "approval_decisions.sql", "page_logins.sql", "page_sessions.sql")


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
        found = await compare_role(connection, self.roles)
        await connection.close()
        assert found is not None
        return found


@pytest.fixture
def roles_database(empty_database_dsn: str) -> Iterator[RolesDatabase]:
    roles = Roles(f"suite_{uuid.uuid4().hex[:8]}")
    roles_database = RolesDatabase(empty_database_dsn, roles)
    names = (roles.owner, roles.service, roles.operator, roles.reader)
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


def needs(*names: str, without: bool = False) -> dict[str, dict[str, set[str]]]:
    """Return the privileges that the SQL in files of these names needs, or in all others: relation, privilege, columns."""
    needed: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in PACKAGE.rglob("*.sql"):
        if path.name not in OWNERS and path.parent.name != "migrations" and (path.name in names) != without:
            package = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
            for query in vars(load(package, path.name)).values():
                _collect(re.sub(r"--.*", "", query), needed)
    return needed


def _collect(query: str, needed: dict[str, dict[str, set[str]]]) -> None:
    for verb, pattern in {
        "INSERT": r"INSERT INTO (\w+)",
        "UPDATE": r"(?<!FOR )(?<!KEY )(?<!DO )UPDATE (\w+)",
        "DELETE": r"DELETE FROM (\w+)",
        "SELECT": r"(?:FROM|JOIN) (\w+)",
    }.items():
        for relation in re.findall(pattern, query):
            needed[relation][verb] |= set()
            if re.search(r"ON CONFLICT \(|RETURNING|WHERE", query):
                needed[relation]["SELECT"] |= set()
    for relation, columns in re.findall(r"INSERT INTO (\w+)(?: AS \w+)?\s*\(([^)]*)\)", query):
        needed[relation]["INSERT"] |= set(re.findall(r"\w+", columns))
    for match in ASSIGNMENTS.finditer(query):
        needed[match[1] or match[2]]["UPDATE"] |= _assigned(query[match.end() :])


def _assigned(text: str) -> set[str]:
    """Return the columns in the assignments that begin a text."""
    depth, start, columns = 0, 0, set()
    for token in TOKENS.finditer(f"{text})"):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth < 0 or (depth == 0 and token[0] not in "()"):
            columns |= set(re.findall(r"\w+", text[start : token.start()].split("=", maxsplit=1)[0]))
            start = token.end()
            if token[0] != ",":
                break
    return columns


def assert_equal(rights: dict[str, str], needed: dict[str, dict[str, set[str]]]) -> None:
    """Compare declared privileges with needs; columns only where they are declared."""
    declared = {name: read_privileges(text) for name, text in rights.items() if text != "USAGE"}
    for relation, privileges in declared.items():
        wanted = {
            privilege: columns if privileges.get(privilege) else set()
            for privilege, columns in needed[relation].items()
        }
        assert {name: set(columns) for name, columns in privileges.items()} == wanted, relation


def test_the_service_role_has_exactly_the_privileges_its_sql_needs() -> None:
    """A missing privilege fails here first, and so does one that no query needs."""
    assert_equal(service_rights(), needs(*OF_OPERATORS, without=True))


def test_the_operator_role_has_exactly_the_privileges_that_its_commands_need_besides() -> None:
    needed = needs("api_keys.sql", "approvals.sql", *OF_OPERATORS)
    more = {name: text for name, text in operator_rights().items() if text != service_rights().get(name)}
    assert list(more) == ["api_keys", "approvals", "page_logins", "page_sessions"]
    assert_equal(more, needed)


async def test_the_roles_have_their_privileges_after_a_migration_by_the_owner(migrated: RolesDatabase) -> None:
    for role in (migrated.roles.service, migrated.roles.operator):
        found = await migrated.compare_role(role)
        assert found == RoleReport(role, superuser=False, owner=False, may_create=False, missing=[], excess=[])
    assert (await migrated.compare_role(migrated.roles.owner)).owner


async def test_the_role_script_can_run_after_the_schema_and_repeatedly(migrated: RolesDatabase) -> None:
    """It also revokes manual grants, on partitions too."""
    service = migrated.roles.service
    partition = next(name for (name,) in migrated.run("SELECT relname FROM pg_class") if PARTITION.search(name))
    for relation in ("audit", partition):
        migrated.run(f"GRANT UPDATE, DELETE, TRUNCATE ON {relation} TO {service}")
    migrated.run(f"GRANT INSERT, UPDATE (hash, scopes) ON api_keys TO {service}")
    assert (await migrated.compare_role(service)).excess[:5] == [
        "INSERT on api_keys",
        "UPDATE (hash, scopes) on api_keys",
        "DELETE on audit",
        "TRUNCATE on audit",
        "UPDATE on audit",
    ]
    assert any(what.endswith(partition) for what in (await migrated.compare_role(service)).excess)
    migrated.run(migrated.roles.script(), migrated.roles.script())
    assert await migrated.compare_role(service) == RoleReport(
        service, superuser=False, owner=False, may_create=False, missing=[], excess=[]
    )


@pytest.mark.parametrize("role", ["service", "operator", "reader"])
def test_no_role_but_the_owner_changes_the_schema_or_written_rows(migrated: RolesDatabase, role: str) -> None:
    for statement in FORBIDDEN:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            migrated.run(statement, role=getattr(migrated.roles, role))


def test_only_the_operator_changes_keys(migrated: RolesDatabase) -> None:
    """Whoever takes over the service cannot mint a key, or revive one."""
    for statement in (
        "INSERT INTO api_keys (client, prefix, hash, scopes) VALUES ('shop', 'psk_x', sha256('x'), '{admin}')",
        "UPDATE api_keys SET expires_at = NULL",
        "UPDATE api_keys SET revoked_at = NULL",
    ):
        migrated.run(statement, role=migrated.roles.operator)
        for role in (migrated.roles.service, migrated.roles.reader):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                migrated.run(statement, role=role)


def test_the_commands_for_keys_name_the_role_that_they_need(migrated: RolesDatabase) -> None:
    create = ("keys", "create", "--client", "shop", "--scope", "read")
    service, operator = (
        {"DB_DSN": migrated.dsn_of(role)} for role in (migrated.roles.service, migrated.roles.operator)
    )
    assert_fails(run(*create, env=service), 2, "use the login of the operator's role")
    assert run(*create, env=operator).returncode == 0
    [key] = done(run("keys", "list", "--json", env=service))["data"]
    for change in ("rotate", "revoke"):
        assert_fails(run("keys", change, key["id"], env=service), 2, "use the login of the operator's role")
        assert run("keys", change, key["id"], env=operator).returncode == 0


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
    with pytest.raises(RightsError, match=r"INSERT \(.*\) on audit could not be granted .* as the owner"):
        migrated.roles.grant(migrated.dsn_of(migrated.roles.reader), report=print)


@pytest.mark.parametrize("command", [migrate, maintain])
def test_migrate_and_maintain_need_the_owner(migrated: RolesDatabase, command: object) -> None:
    """Under the service's role both fail instead of doing half of the work."""
    later = {"now": datetime.now(UTC) + timedelta(days=70)} if command is maintain else {}
    migrated.run("UPDATE alembic_version SET version_num = '1'")
    with pytest.raises(Exception, match=r"permission denied|must be owner"):
        command(migrated.dsn_of(migrated.roles.service), **later)  # type: ignore[operator]
