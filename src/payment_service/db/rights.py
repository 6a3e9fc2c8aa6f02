"""Privileges of each role, table by table. `migrate` grants them, `doctor` compares them, `migrate --roles` prints them.

The owner is the role that ran `migrate`. The service only inserts into audit, history and outbox. Where a table holds money or
evidence, the columns that it may update are named: no amount of a payment or refund, no payload, no request. The operator also
changes API keys. The reader sees neither API keys nor stored responses.
"""

from __future__ import annotations

import re
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
    "api_keys": "SELECT, UPDATE (last_used_at)",
    "api_key_refunds": "SELECT, INSERT, UPDATE",
    # A process that serves the API requests approvals and cannot decide them.
    "approvals": (
        "SELECT, INSERT (amount, client, currency, expires_at, key, key_id, parameters, payment_id, reason, requested_by)"
    ),
    "approvals_shown": "SELECT",
    "audit": "SELECT, INSERT (action, address, client, detail, key_id, payment_id, why)",  # not its id and time
    "audit_chain": "SELECT, INSERT (audit_id, hash, position)",
    "audit_unsealed": "SELECT, INSERT, DELETE",
    "cursor_key": "SELECT",
    "differences": "SELECT, INSERT, UPDATE",
    "disputes": (
        "SELECT, INSERT, UPDATE ("
        "amount, currency, evidence_due_at, fact_at, fact_precedence, fact_rank, fact_source, "
        "funds_withdrawn, reason, status, updated_at)"
    ),
    "disputes_decimal": "SELECT",
    "event_positions": "SELECT, INSERT, UPDATE",
    "idempotency_keys": "SELECT, INSERT",
    "installation": "SELECT, INSERT, UPDATE",
    "operations": (
        "SELECT, INSERT, UPDATE ("
        "api_version, attempt, attempts, due_at, empty_read_at, epoch, ever_sent, finished_at, first_sent_at, "
        "last_sent_at, outcome, outcome_code, outcome_detail, provider_request_id, request_path, resolving, "
        "state, tries, withdrawal, worker)"
    ),
    "order_cancellations": "SELECT, INSERT, UPDATE",
    "outbox": "SELECT, INSERT",
    "outbox_default": "SELECT",  # counted directly
    "outbox_pending": "SELECT, INSERT, DELETE",
    "outbox_placements": "SELECT, INSERT",
    "partition_readers": "SELECT, INSERT, UPDATE",
    "payment_attempts": (
        "SELECT, INSERT, UPDATE (card_brand, card_country, card_funding, card_last4, card_wallet, decline_code, decline_reason,"
        " occurred_at, payment_method_id, payment_method_type, receipt_url, status)"
    ),
    "payment_events": (
        "SELECT, INSERT, UPDATE (parked_reason, payment_id, processed, processed_at, result, retry_at, tries)"
    ),
    "payment_events_default": "SELECT",
    "payment_history": "SELECT, INSERT",
    "payments": (
        "SELECT, INSERT, UPDATE ("
        "capture_before, captured, declines, expiry_due_at, fact_at, fact_precedence, fact_rank, fact_source, "
        "paid_at, payment_method_id, payment_method_type, provider_payment_id, refunded, reserved, sequence, status, updated_at)"
    ),
    "payments_decimal": "SELECT",
    "polls": "SELECT, INSERT, UPDATE, DELETE",
    "provider_budget": "SELECT, INSERT, UPDATE",
    "provider_health": "SELECT, INSERT, UPDATE, DELETE",
    "provider_schemas": "SELECT",
    "quarantine": ("SELECT, INSERT, UPDATE (closed_at, replayed_at)"),
    "reconciliation_objects": "SELECT, INSERT, DELETE",
    "reconciliations": "SELECT, INSERT, UPDATE",
    "recovered_records": "SELECT, INSERT",
    "recovery": "SELECT, INSERT, UPDATE",
    "refunds": (
        "SELECT, INSERT, UPDATE ("
        "bank_reference, expected_at, fact_at, fact_precedence, fact_rank, fact_source, failure_code, "
        "provider_refund_id, status, updated_at)"
    ),
    "refunds_decimal": "SELECT",
    "parked_aggregates": "SELECT, INSERT, UPDATE, DELETE",
    "relay_lease": "SELECT, UPDATE",
    "schema_minimum": "SELECT",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    **dict.fromkeys(_SEQUENCES, "USAGE"),
}

# Further rights of the operator's role: the commands `keys` run under it, and the pages.
_OPERATOR: Final[dict[str, str]] = {
    "api_keys": "SELECT, INSERT, UPDATE (expires_at, last_used_at, revoked_at)",
    "approvals": (
        "SELECT, INSERT (amount, client, currency, expires_at, key, key_id, parameters, payment_id, reason, requested_by),"
        " UPDATE (decided_at, decided_by, decision)"
    ),
    "page_logins": "SELECT, INSERT, UPDATE (used_at), DELETE",
    "page_sessions": "SELECT, INSERT, UPDATE (ended_at), DELETE",
}

# "UPDATE (a, b)" names columns.
_PRIVILEGE: Final = re.compile(r"([A-Z]+)(?: \(([^)]*)\))?")

# "paymentr", next to the locks of `migrate` and `maintain`. Two concurrent grants would update the same row of the catalog.
ADVISORY_LOCK: Final = 0x7061796D656E7472

HIDDEN: Final = ("api_keys", "cursor_key", "idempotency_keys", "page_logins", "page_sessions")

_sql = load(__package__, "rights.sql")


def service_rights() -> dict[str, str]:
    """Return the privileges of the service, with those on the tables of all installed providers."""
    return {name: rights for plugin in installed().values() for name, rights in plugin.rights.items()} | _CORE


def operator_rights() -> dict[str, str]:
    """Return the privileges of the operator: those of the service, and more."""
    return service_rights() | _OPERATOR


def reader_rights() -> dict[str, str]:
    """Return the privileges of the reader."""
    return {relation: "SELECT" for relation in operator_rights() if relation not in {*HIDDEN, *_SEQUENCES}}


class RightsError(Exception):
    """Privileges could not be granted. The message says why."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of an installation, by the prefix of their names."""

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
    def operator(self) -> str:
        """The role that changes API keys."""
        return f"{self.prefix}_operator"

    @property
    def reader(self) -> str:
        """The role for people and reports."""
        return f"{self.prefix}_reader"

    def script(self) -> str:
        """Return the SQL that an administrator runs once to create the roles and grant their privileges."""
        grants = [f"    {line}" for role, rights in self._rights().items() for line in _grants(role, rights)]
        text = files(__package__).joinpath("roles.sql").read_text()
        names = {"owner": self.owner, "service": self.service, "operator": self.operator, "reader": self.reader}
        return text.format(**names, grants="\n".join(grants))

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
        return {self.service: service_rights(), self.operator: operator_rights(), self.reader: reader_rights()}


DEFAULT_ROLES: Final = Roles()


@dataclass(frozen=True, slots=True)
class RoleReport:
    """The role of a session, with its missing and excess privileges: for the operator if it is that role, else for the service."""

    name: str
    superuser: bool
    owner: bool
    may_create: bool
    missing: list[str]
    excess: list[str]


async def compare_role(connection: Connection, roles: Roles = DEFAULT_ROLES) -> RoleReport | None:
    """Compare the role of this session with its needs; None if there are no tables yet."""
    row = await connection.fetchrow(_sql.current_role)
    if row is None:
        return None
    rights = operator_rights() if row["name"] == roles.operator else service_rights()
    compared = await connection.fetch(_sql.compare, row["name"], *_needs(rights))
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
    found = connection.execute(_sql.compare.encode(), [role, *_needs(rights)]).fetchall()
    return [(str(what), str(statement)) for what, missing, statement in found if missing]


def _needs(rights: Mapping[str, str]) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return relation, privilege and column (empty: all columns) of each need, and the relations that any role needs."""
    needs = [
        (relation, privilege, column)
        for relation, text in rights.items()
        for privilege, columns in read_privileges(text).items()
        for column in columns or ("",)
    ]
    relations, privileges, columns = (list(values) for values in zip(*needs, strict=True))
    return relations, privileges, columns, list(operator_rights())


def read_privileges(text: str) -> dict[str, tuple[str, ...]]:
    """Return the privileges in `SELECT, UPDATE (a, b)`, each with its columns. No columns: the whole table."""
    return {match[1]: tuple((match[2] or "").split(", ")) if match[2] else () for match in _PRIVILEGE.finditer(text)}


def _grants(role: str, rights: Mapping[str, str]) -> list[str]:
    return [
        f"GRANT {names} ON {'SEQUENCE ' if relation in _SEQUENCES else ''}{relation} TO {role};"
        for relation, names in rights.items()
    ]
