"""Taking over the model's tables as the owner of three roles, who is no superuser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from payment_service.db.adopt import AdoptError, adopt
from payment_service.db.migrate import MigrationError
from payment_service.db.rights import Roles
from tests.support.databases import DatabaseServer
from tests.support.model_tables import ModelTables

UNTOUCHED = "SELECT to_regclass('model_payments'), to_regclass('alembic_version')"


@dataclass(frozen=True)
class OldStore:
    """A database in which the model ran under a role of its own, and an administrator has made the three roles."""

    admin: str
    model_role: str
    roles: Roles

    def of(self, role: str) -> str:
        return make_conninfo(self.admin, user=role, password="suite22")

    def query(self, statement: str, *, role: str = "") -> list[tuple[object, ...]]:
        with psycopg.connect(self.of(role) if role else self.admin, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def hand_over(self) -> None:
        """What docs/upgrading.md tells the administrator to do."""
        self.query(f"REASSIGN OWNED BY {self.model_role} TO {self.roles.owner}")


@pytest.fixture
def store(database: DatabaseServer, empty_database_dsn: str) -> Iterator[OldStore]:
    prefix = f"{database.roles.prefix}_adopt"
    roles = Roles(prefix)
    store = OldStore(empty_database_dsn, f"{prefix}_model", roles)
    names = (store.model_role, roles.owner, roles.service, roles.reader)
    with psycopg.connect(store.admin, autocommit=True) as admin:
        if admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() != (True,):
            pytest.skip("the role of TEST_DB_DSN may not make roles")
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(store.model_role)))
        admin.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(store.model_role)))
        admin.execute(roles.script().encode())
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
            sql.Identifier(str(admin.info.dbname)), sql.Identifier(store.model_role)))  # fmt: skip
        for name in names:
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD 'suite22'").format(sql.Identifier(name)))
        yield store
        for name in names:
            admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_the_owner_takes_over_what_was_handed_to_it_and_the_service_may_work_on_it(store: OldStore) -> None:
    """A look beforehand included; nothing of it needs a superuser."""
    model = ModelTables(store.of(store.model_role))
    taken, left = model.pay(), model.pay(amount="0.001")
    store.hand_over()
    owner = store.of(store.roles.owner)
    with pytest.raises(AdoptError, match="1 payments would be in"):
        adopt(owner, roles=store.roles, dry_run=True)
    for _ in range(2):
        with pytest.raises(AdoptError, match="1 payments are in"):
            adopt(owner, roles=store.roles)
    assert store.query("SELECT id FROM payments") == [(taken,)]
    for role in (store.roles.service, store.roles.reader):
        assert store.query("SELECT payment_id FROM model_adoption_report", role=role) == [(left,)]
        assert store.query("SELECT id FROM payments", role=role) == [(taken,)]
    owned = store.query("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owned == [(store.roles.owner,)]


def test_tables_that_were_not_handed_over_are_left_as_they_were_and_the_error_says_who_must(store: OldStore) -> None:
    model = ModelTables(store.of(store.model_role))
    model.pay()
    owner = store.of(store.roles.owner)
    for dry_run in (True, False):
        with pytest.raises(AdoptError, match=r"Nothing was changed.*permission denied for table payments"):
            adopt(owner, roles=store.roles, dry_run=dry_run)
    store.query(f"GRANT SELECT ON payments TO {store.roles.owner}")
    with pytest.raises(MigrationError, match=r"nothing of it: must be owner of"):
        adopt(owner, roles=store.roles)
    assert store.query(UNTOUCHED) == [(None, None)]


def test_an_owner_who_may_make_no_temporary_table_is_told_so_while_nothing_is_changed(store: OldStore) -> None:
    """The rows are judged in one: set aside and not judged, they would bar no order."""
    ModelTables(store.of(store.model_role)).pay()
    store.hand_over()
    [(name,)] = store.query("SELECT current_database()")
    store.query(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC, {store.roles.owner}")
    with pytest.raises(AdoptError, match=r"Nothing was changed.*permission denied to create temporary tables"):
        adopt(store.of(store.roles.owner), roles=store.roles)
    assert store.query(UNTOUCHED) == [(None, None)]


def test_neither_the_service_nor_who_reads_may_clear_the_report(store: OldStore) -> None:
    """That would let an order be paid a second time."""
    ModelTables(store.of(store.model_role)).pay(amount="0.001")
    store.hand_over()
    with pytest.raises(AdoptError):
        adopt(store.of(store.roles.owner), roles=store.roles)
    for role in (store.roles.service, store.roles.reader):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            store.query("DELETE FROM model_adoption_report", role=role)
