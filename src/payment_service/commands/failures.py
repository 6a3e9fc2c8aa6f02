"""What a person reads, and a script is told, when a command did not do what it was asked."""

from __future__ import annotations

from typing import Final

import asyncpg
from confluent_kafka import KafkaException

from payment_service import exit_codes
from payment_service.bank_transfer.statement import StatementRefused
from payment_service.db.maintain import MaintainError
from payment_service.db.migrate import MigrationError
from payment_service.db.rights import RightsError
from payment_service.db.schema import NO_SCHEMA, SchemaError
from payment_service.flows.state.errors import Refusal, RefusalReason

_EXITS: Final = {
    RefusalReason.NOT_FOUND: exit_codes.NOT_FOUND,
    RefusalReason.NOT_YET: exit_codes.NOT_NOW,
    RefusalReason.IN_PROGRESS: exit_codes.NOT_NOW,
}
_BUSY: Final = "It is being worked on just now, and nothing was changed: run the same command again in a second."


def explain(error: Exception) -> tuple[str, int] | None:
    """Give a sentence and the exit code for a failure outside of this program; None: it is a fault of the program."""
    match error:
        case Refusal(reason=reason):
            return str(error), _EXITS.get(reason, exit_codes.FAILED)
        case SchemaError():
            return str(error), exit_codes.NOT_PREPARED
        case asyncpg.UndefinedTableError():
            return NO_SCHEMA, exit_codes.NOT_PREPARED
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            return _BUSY, exit_codes.NOT_NOW
        case asyncpg.InsufficientPrivilegeError():
            return (
                f"The role in DB_DSN may not do this ({error}): `payment-service doctor` says what it lacks.",
                exit_codes.FAILED,
            )
        case MigrationError() | RightsError() | MaintainError() | StatementRefused():
            return str(error), exit_codes.FAILED
        case KafkaException():
            return f"The broker of KAFKA_BROKERS did not do it: {error.args[0].str()}", exit_codes.FAILED
        case OSError(filename=str()):
            return str(error), exit_codes.FAILED
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | OSError():
            return f"The database of DB_DSN did not do it: {error or type(error).__name__}", exit_codes.FAILED
        case _:
            return None
