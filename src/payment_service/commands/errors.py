"""Messages and exit codes of failed commands."""

from __future__ import annotations

from typing import Final

import asyncpg
from confluent_kafka import KafkaException

from payment_service import exit_codes
from payment_service.db.installation import AnotherDeployment
from payment_service.db.maintain import MaintainError
from payment_service.db.migrate import MigrationError
from payment_service.db.rights import RightsError
from payment_service.db.schema_check import NO_SCHEMA, SchemaError
from payment_service.db.server import UnusableDatabase
from payment_service.flows.operators.recover import Incomplete
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.telemetry.errors import explain_database_error

_EXITS: Final = {
    RefusalReason.NOT_FOUND: exit_codes.NOT_FOUND,
    RefusalReason.NOT_YET: exit_codes.NOT_NOW,
    RefusalReason.IN_PROGRESS: exit_codes.NOT_NOW,
}
_BUSY: Final = "Another process is changing this now. Nothing was changed: run the same command again in a second."


def explain(error: Exception) -> tuple[str, int] | None:
    """Return a message and an exit code for an expected failure, or None for a defect."""
    match error:
        case Refusal(reason=reason):
            return str(error), _EXITS.get(reason, exit_codes.FAILED)
        case SchemaError() | AnotherDeployment() | UnusableDatabase():
            return str(error), exit_codes.NOT_PREPARED
        case asyncpg.UndefinedTableError():
            return NO_SCHEMA, exit_codes.NOT_PREPARED
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            return _BUSY, exit_codes.NOT_NOW
        case MigrationError() | RightsError() | MaintainError() | Incomplete():
            return str(error), exit_codes.FAILED
        case KafkaException():
            return f"Request to Kafka failed: {error.args[0].str()}. Check KAFKA_BROKERS.", exit_codes.FAILED
        case OSError(filename=str()):
            return str(error), exit_codes.FAILED
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | OSError():
            return explain_database_error(error), exit_codes.FAILED
        case _:
            return None
