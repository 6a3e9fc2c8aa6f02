"""The command line: every command is a few lines into the code. Exit codes: 0 done, 1 failed, 2 usage or configuration,
3 schema or topics missing.

Modules are imported by the command that needs them, so that `migrate` doesn't load a Kafka client, nor `--help` anything.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated, Final

import typer

from payment_service.config import ROLES, Config, ConfigError, DatabaseSettings, KafkaSettings
from payment_service.db.api_keys import Scope

EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_NOT_PREPARED: Final = 3

app = typer.Typer(
    name="payment-service",
    help="Takes money for orders, and tells the rest of the store what became of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
topics = typer.Typer(help="Topics of Kafka.", no_args_is_help=True)
keys = typer.Typer(help="Keys of the API.", no_args_is_help=True)
app.add_typer(topics, name="topics")
app.add_typer(keys, name="keys")


@app.command()
def serve(
    only: Annotated[str, typer.Option(help="Roles to run, comma-separated: intake, dispatch, relay, http.")] = ",".join(
        ROLES
    ),
) -> None:
    """Run the service: all roles in one process, or some."""
    roles = [role.strip() for role in only.split(",") if role.strip()]
    if not roles or not set(roles) <= set(ROLES):
        raise ConfigError(f"--only takes {', '.join(ROLES)}, comma-separated; not {only!r}.")
    config = Config.from_environment()
    from payment_service import runtime
    from payment_service.telemetry.logs import configure_logs

    configure_logs(config.log_level)
    raise typer.Exit(runtime.serve(config, roles))


@app.command()
def migrate(sql: Annotated[bool, typer.Option("--sql", help="Print the SQL and change nothing.")] = False) -> None:
    """Bring the database to the schema of this version, and make its partitions. Needs DB_DSN alone, as the owner."""
    from payment_service.db import migrate as migration

    if sql:
        typer.echo(migration.migration_sql())
        return
    migration.migrate(_dsn(), report=typer.echo)


@app.command()
def maintain() -> None:
    """Make the partitions that are missing, drop those past retention. Daily, as the owner; needs DB_DSN alone."""
    from payment_service.db import maintain as maintenance

    maintenance.maintain(_dsn(), report=typer.echo)


@topics.command("create")
def create_topics() -> None:
    """Create the topics that are missing; needs KAFKA_BROKERS alone."""
    from payment_service.kafka.topics import create_topics as create

    logging.getLogger("librdkafka").setLevel(
        logging.CRITICAL
    )  # it would tell of each attempt; the exception tells it once
    created = create(KafkaSettings.from_environment())
    typer.echo("\n".join(f"created {name}" for name in created) or "all topics exist")


@topics.callback()
def _topics() -> None:
    """Make `topics` a group even while it has one command."""


@keys.command("create")
def create_key(
    scope: Annotated[list[Scope], typer.Option(help="What the key allows; repeatable.")],
    client: Annotated[str, typer.Option(help="Whose key it is, for people.")] = "default",
) -> None:
    """Make a key of the API and print it, this once: only its hash is stored. Needs DB_DSN alone."""
    typer.echo(asyncio.run(_create_key(_dsn(), client, [str(name) for name in scope])))


@keys.callback()
def _keys() -> None:
    """Make `keys` a group even while it has one command."""


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def sandbox(context: typer.Context) -> None:
    """Run the Stripe emulator: --port N --state FILE --webhook URL --webhook-secret S (as `stripe-sandbox`)."""
    from stripe_sandbox.cli import main as run

    sys.argv = ["payment-service sandbox", *context.args]
    run()


@app.command()
def doctor() -> None:
    """Check what the service depends on: a line each, with the cure."""
    from payment_service.doctor import examine

    raise typer.Exit(examine(Config.from_environment()))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End when the sample orders have settled.")] = False,
    serve_only: Annotated[str, typer.Option(hidden=True)] = "",
    patience_s: Annotated[float, typer.Option(hidden=True)] = 60,
) -> None:
    """Show orders, payments and events live, on an embedded PostgreSQL, an embedded broker and the Stripe emulator."""
    from payment_service.demo import show

    raise typer.Exit(show(once=once, serve_only=serve_only, patience_s=patience_s))


def main() -> None:
    """Run the command that the arguments name; a failure that a person can mend is one line on standard error."""
    from payment_service.telemetry.logs import configure_logs

    configure_logs("warning", sys.stderr)
    try:
        typer.main.get_command(app)()  # not app(): that sets a hook of its own for tracebacks, past the mask
    except ConfigError as error:
        sys.exit(_say(str(error), EXIT_CONFIGURATION))
    except Exception as error:
        if (explained := _explain(error)) is None:
            raise
        sys.exit(_say(*explained))


def _say(sentence: str, code: int) -> int:
    from payment_service.telemetry.logs import mask

    sys.stderr.write(f"payment-service: {mask(' '.join(sentence.split()))}\n")
    return code


def _explain(error: Exception) -> tuple[str, int] | None:
    """Give a sentence and the exit code for a failure outside of this program; None: it is a fault of the program."""
    import asyncpg
    from confluent_kafka import KafkaException

    from payment_service.db.maintain import MaintainError
    from payment_service.db.migrate import MigrationError
    from payment_service.db.schema import NO_SCHEMA, SchemaError

    match error:
        case SchemaError():
            return str(error), EXIT_NOT_PREPARED
        case asyncpg.UndefinedTableError():
            return NO_SCHEMA, EXIT_NOT_PREPARED
        case MigrationError() | MaintainError():
            return str(error), EXIT_FAILED
        case KafkaException():
            return f"The broker of KAFKA_BROKERS did not do it: {error.args[0].str()}", EXIT_FAILED
        case OSError(filename=str()):
            return str(error), EXIT_FAILED
        case asyncpg.PostgresError() | OSError():
            return f"The database of DB_DSN did not do it: {error or type(error).__name__}", EXIT_FAILED
        case _:
            return None


def _dsn() -> str:
    return DatabaseSettings.from_environment().db_dsn.get_secret_value()


async def _create_key(dsn: str, client: str, scopes: list[str]) -> str:
    import asyncpg

    from payment_service.db import api_keys
    from payment_service.db.pool import CONNECT_TIMEOUT_S, connect_arguments

    connection = await asyncpg.connect(**connect_arguments(dsn), timeout=CONNECT_TIMEOUT_S)
    try:
        return await api_keys.create(connection, client=client, scopes=scopes)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    finally:
        await connection.close()
