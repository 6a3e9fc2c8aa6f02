"""Privileges of each role, table by table. `migrate` grants them, `doctor` compares them, `migrate --roles` prints them.

The owner is the role that ran `migrate`. The service only inserts into audit, history and outbox. The reader sees neither API
keys nor stored responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import psycopg

from payment_service.db.owner import connect_owner
from payment_service.db.pool import Connection
from payment_service.db.queries import load
from payment_service.provider.plugins import installed

_SEQUENCES: Final = ("operations_position", "outbox_position")

# Without the tables of providers, which bring their own.
_CORE: Final[dict[str, str]] = {
    "alembic_version": "SELECT",
    "api_keys": "SELECT, INSERT, UPDATE",
    "api_key_refunds": "SELECT, INSERT, UPDATE",
    "audit": "SELECT, INSERT",
    "audit_chain": "SELECT, INSERT",
    "audit_unsealed": "SELECT, INSERT, DELETE",
    "cursor_key": "SELECT",
    "differences": "SELECT, INSERT, UPDATE",
    "disputes": "SELECT, INSERT, UPDATE",
    "disputes_decimal": "SELECT",
    "event_positions": "SELECT, INSERT, UPDATE",
    "idempotency_keys": "SELECT, INSERT",
    "installation": "SELECT, INSERT, UPDATE",
    "operations": "SELECT, INSERT, UPDATE",
    "order_cancellations": "SELECT, INSERT, UPDATE",
    "outbox": "SELECT, INSERT",
    "outbox_default": "SELECT",  # counted directly
    "outbox_pending": "SELECT, INSERT, DELETE",
    "outbox_placements": "SELECT, INSERT",
    "partition_readers": "SELECT, INSERT, UPDATE",
    "payment_events": "SELECT, INSERT, UPDATE",
    "payment_events_default": "SELECT",
    "payment_history": "SELECT, INSERT",
    "payments": "SELECT, INSERT, UPDATE",
    "payments_decimal": "SELECT",
    "polls": "SELECT, INSERT, UPDATE, DELETE",
    "provider_budget": "SELECT, INSERT, UPDATE",
    "provider_health": "SELECT, INSERT, UPDATE, DELETE",
    "provider_schemas": "SELECT",
    "quarantine": "SELECT, INSERT, UPDATE",
    "reconciliation_objects": "SELECT, INSERT, DELETE",
    "reconciliations": "SELECT, INSERT, UPDATE",
    "recovered_records": "SELECT, INSERT",
    "recovery": "SELECT, INSERT, UPDATE",
    "refunds": "SELECT, INSERT, UPDATE",
    "refunds_decimal": "SELECT",
    "parked_aggregates": "SELECT, INSERT, UPDATE, DELETE",
    "relay_lease": "SELECT, UPDATE",
    "schema_minimum": "SELECT",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    **dict.fromkeys(_SEQUENCES, "USAGE"),
}

# "paymentr", next to the locks of `migrate` and `maintain`. Two concurrent grants would update the same row of the catalog.
ADVISORY_LOCK: Final = 0x7061796D656E7472

HIDDEN: Final = ("api_keys", "cursor_key", "idempotency_keys")

_sql = load(__package__, "rights.sql")


def service_rights() -> dict[str, str]:
    """Return the privileges of the service, with those on the tables of all installed providers."""
    return {name: rights for plugin in installed().values() for name, rights in plugin.rights.items()} | _CORE


def reader_rights() -> dict[str, str]:
    """Return the privileges of the reader."""
    return {relation: "SELECT" for relation in service_rights() if relation not in {*HIDDEN, *_SEQUENCES}}


class RightsError(Exception):
    """Privileges could not be granted. The message says why."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The three roles of an installation, by the prefix of their names."""

    prefix: str = "payments"

    @property
    def owner(self) -> str:
        """The role that changes the schema."""
        return f"{self.prefix}_owner"

    @property
    def service(self) -> str:
        """The role of the running service."""
        return f"{self.prefix}_service"

    @property
    def reader(self) -> str:
        """The role for people and reports."""
        return f"{self.prefix}_reader"

    def script(self) -> str:
        """Return the SQL that an administrator runs once to create the roles and grant their privileges."""
        grants = [f"    {line}" for role, rights in self._rights().items() for line in _grants(role, rights)]
        text = files(__package__).joinpath("roles.sql").read_text()
        return text.format(owner=self.owner, service=self.service, reader=self.reader, grants="\n".join(grants))

    def grant(self, dsn: str, *, report: Callable[[str], None]) -> None:
        """Grant missing privileges to the roles that exist. `report` receives a line for each changed role.

        Raises RightsError. Excess privileges stay: another version may need them.
        """
        try:
            with connect_owner(
                dsn, application_name="payment-service migrate", cursor_factory=psycopg.RawCursor
            ) as connection:
                connection.execute("SELECT pg_advisory_xact_lock($1)", [ADVISORY_LOCK])
                for role, rights in self._rights().items():
                    if granted := _grant(connection, role, rights):
                        report(f"granted {granted} privileges to {role}")
        except psycopg.Error as error:
            message = f"The schema is migrated, but privileges could not be granted: {' '.join(str(error).split())}"
            raise RightsError(message) from error

    def _rights(self) -> dict[str, Mapping[str, str]]:
        return {self.service: service_rights(), self.reader: reader_rights()}


DEFAULT_ROLES: Final = Roles()


@dataclass(frozen=True, slots=True)
class RoleReport:
    """The role of a session, with its missing and excess privileges for running the service."""

    name: str
    superuser: bool
    owner: bool
    may_create: bool
    missing: list[str]
    excess: list[str]


async def compare_role(connection: Connection) -> RoleReport | None:
    """Compare the role of this session with the needs of the service; None if there are no tables yet."""
    row = await connection.fetchrow(_sql.current_role)
    if row is None:
        return None
    compared = await connection.fetch(_sql.compare, row["name"], *_pairs(service_rights()))
    return RoleReport(
        **row,
        missing=[found["what"] for found in compared if found["missing"]],
        excess=[found["what"] for found in compared if not found["missing"]],
    )


def _grant(connection: psycopg.Connection[tuple[object, ...]], role: str, rights: Mapping[str, str]) -> int:
    if connection.execute(_sql.exists.encode(), [role]).fetchone() is None:
        return 0
    missing = _missing(connection, role, rights)
    for _what, statement in missing:
        connection.execute(statement.encode())
    # PostgreSQL only warns a role that is not the owner, so look again.
    if missing and (left := _missing(connection, role, rights)):
        message = f"The schema is migrated, but {left[0][0]} could not be granted to {role}. Run `payment-service migrate` as the owner of the tables."
        raise RightsError(message)
    return len(missing)


def _missing(
    connection: psycopg.Connection[tuple[object, ...]], role: str, rights: Mapping[str, str]
) -> list[tuple[str, str]]:
    found = connection.execute(_sql.compare.encode(), [role, *_pairs(rights)]).fetchall()
    return [(str(what), str(statement)) for what, missing, statement in found if missing]


def _pairs(rights: Mapping[str, str]) -> tuple[list[str], list[str]]:
    pairs = [(relation, privilege) for relation, names in rights.items() for privilege in names.split(", ")]
    return [relation for relation, _ in pairs], [privilege for _, privilege in pairs]


def _grants(role: str, rights: Mapping[str, str]) -> list[str]:
    return [
        f"GRANT {names} ON {'SEQUENCE ' if relation in _SEQUENCES else ''}{relation} TO {role};"
        for relation, names in rights.items()
    ]
