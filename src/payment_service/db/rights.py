"""What each role may do, table by table. `migrate` grants it, `doctor` compares, `migrate --roles` prints it for review.

The owner is whoever ran `migrate`. The service adds to audit, history and outbox and changes nothing there; the reader
sees neither what opens the API nor what callers were answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import psycopg

from payment_service.db.pool import CONNECT_TIMEOUT_S, Connection
from payment_service.db.queries import load

_SEQUENCES: Final = ("operations_position", "outbox_position")

SERVICE: Final[Mapping[str, str]] = {
    "alembic_version": "SELECT",
    "api_keys": "SELECT, INSERT, UPDATE",
    "audit": "SELECT, INSERT",
    "bank_intents": "SELECT, INSERT, UPDATE",
    "bank_refunds": "SELECT, INSERT, UPDATE",
    "bank_transfers": "SELECT, INSERT, UPDATE",
    "cursor_key": "SELECT",
    "disputes": "SELECT, INSERT, UPDATE",
    "disputes_decimal": "SELECT",
    "idempotency_keys": "SELECT, INSERT",
    "operations": "SELECT, INSERT, UPDATE",
    "order_cancellations": "SELECT, INSERT, UPDATE",
    "outbox": "SELECT, INSERT",
    "outbox_default": "SELECT",  # counted by itself
    "outbox_pending": "SELECT, INSERT, DELETE",
    "outbox_placements": "SELECT, INSERT",
    "payment_events": "SELECT, INSERT, UPDATE",
    "payment_events_default": "SELECT",
    "payment_history": "SELECT, INSERT",
    "payments": "SELECT, INSERT, UPDATE",
    "payments_decimal": "SELECT",
    "provider_budget": "SELECT, INSERT, UPDATE",
    "provider_health": "SELECT, INSERT, UPDATE, DELETE",
    "quarantine": "SELECT, INSERT, UPDATE",
    "refunds": "SELECT, INSERT, UPDATE",
    "refunds_decimal": "SELECT",
    "parked_aggregates": "SELECT, INSERT, UPDATE, DELETE",
    "relay_lease": "SELECT, UPDATE",
    "schema_minimum": "SELECT",
    "workers": "SELECT, INSERT, UPDATE, DELETE",
    **dict.fromkeys(_SEQUENCES, "USAGE"),
}

# "paymentr", beside the locks of `migrate` and `maintain`: two that grant the same at once would meet on one row of the catalogue.
ADVISORY_LOCK: Final = 0x7061796D656E7472

HIDDEN: Final = ("api_keys", "cursor_key", "idempotency_keys")
READER: Final[Mapping[str, str]] = {
    relation: "SELECT" for relation in SERVICE if relation not in {*HIDDEN, *_SEQUENCES}
}

_sql = load(__package__, "rights.sql")


class RightsError(Exception):
    """Rights could not be granted; the message says why."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The three roles of one installation, by the prefix of their names."""

    prefix: str = "payments"

    @property
    def owner(self) -> str:
        """Who changes the schema."""
        return f"{self.prefix}_owner"

    @property
    def service(self) -> str:
        """Who runs on it."""
        return f"{self.prefix}_service"

    @property
    def reader(self) -> str:
        """Who looks at it."""
        return f"{self.prefix}_reader"

    def script(self) -> str:
        """Give the SQL that an administrator runs once: it makes the roles, and says what each may do."""
        grants = [f"    {line}" for role, rights in self._rights().items() for line in _grants(role, rights)]
        text = files(__package__).joinpath("roles.sql").read_text()
        return text.format(owner=self.owner, service=self.service, reader=self.reader, grants="\n".join(grants))

    def grant(self, dsn: str, *, report: Callable[[str], None]) -> None:
        """Grant what the roles lack, as far as they exist. `report` is told a line for each that got something.

        Raises RightsError. What a role may do beyond its need is left to a person: another version may need it.
        """
        try:
            with psycopg.connect(
                dsn,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="payment-service migrate",
                cursor_factory=psycopg.RawCursor,
            ) as connection:
                connection.execute("SELECT pg_advisory_xact_lock($1)", [ADVISORY_LOCK])
                for role, rights in self._rights().items():
                    if granted := _grant(connection, role, rights):
                        report(f"granted {role} {granted} rights")
        except psycopg.Error as error:
            message = f"The schema is in order, but rights could not be granted: {' '.join(str(error).split())}"
            raise RightsError(message) from error

    def _rights(self) -> dict[str, Mapping[str, str]]:
        return {self.service: SERVICE, self.reader: READER}


DEFAULT_ROLES: Final = Roles()


@dataclass(frozen=True, slots=True)
class Standing:
    """What the role of a session is, what it lacks to run the service, and what it may do beyond that."""

    name: str
    superuser: bool
    owner: bool
    creates: bool
    lacks: list[str]
    beyond: list[str]


async def standing(connection: Connection) -> Standing | None:
    """Compare the role of this session with what the service needs; None: there are no tables yet."""
    row = await connection.fetchrow(_sql.standing)
    if row is None:
        return None
    compared = await connection.fetch(_sql.compare, row["name"], *_pairs(SERVICE))
    return Standing(
        **row,
        lacks=[found["what"] for found in compared if found["lacks"]],
        beyond=[found["what"] for found in compared if not found["lacks"]],
    )


def _grant(connection: psycopg.Connection[tuple[object, ...]], role: str, rights: Mapping[str, str]) -> int:
    if connection.execute(_sql.exists.encode(), [role]).fetchone() is None:
        return 0
    missing = _missing(connection, role, rights)
    for _what, statement in missing:
        connection.execute(statement.encode())
    # Who is no owner, but may do the same, is let off with a warning.
    if missing and (left := _missing(connection, role, rights)):
        message = f"The schema is in order, but {left[0][0]} could not be granted to {role}: migrate as the owner of the tables."
        raise RightsError(message)
    return len(missing)


def _missing(
    connection: psycopg.Connection[tuple[object, ...]], role: str, rights: Mapping[str, str]
) -> list[tuple[str, str]]:
    found = connection.execute(_sql.compare.encode(), [role, *_pairs(rights)]).fetchall()
    return [(str(what), str(statement)) for what, lacks, statement in found if lacks]


def _pairs(rights: Mapping[str, str]) -> tuple[list[str], list[str]]:
    pairs = [(relation, privilege) for relation, names in rights.items() for privilege in names.split(", ")]
    return [relation for relation, _ in pairs], [privilege for _, privilege in pairs]


def _grants(role: str, rights: Mapping[str, str]) -> list[str]:
    return [
        f"GRANT {names} ON {'SEQUENCE ' if relation in _SEQUENCES else ''}{relation} TO {role};"
        for relation, names in rights.items()
    ]
