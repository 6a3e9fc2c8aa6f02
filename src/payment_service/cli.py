"""The command line: every command is a few lines into the code. Exit codes: 0 done, or done before; 1 failed or refused; 2 usage
or configuration; 3 schema or topics missing; 4 there is no such thing; 5 not now, the same again in a moment.

Modules are imported by the command that needs them, so that `migrate` doesn't load a Kafka client, nor `--help` anything.
"""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Final
from uuid import UUID

import typer

from payment_service import exit_codes
from payment_service.commands import version
from payment_service.config import ROLES, Config, ConfigError, DatabaseSettings, KafkaSettings, RoleSettings
from payment_service.db.api_keys import Scope

Name = Annotated[str, typer.Argument(metavar="ORDER|PAYMENT", help="An order's id, or a payment's.")]
Amount = Annotated[str | None, typer.Argument(help="Decimal text in the payment's currency; left out: all of it.")]
Reason = Annotated[str, typer.Option(help="For people; the provider is told the words that it knows.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Key = Annotated[str, typer.Option(help="The same change under the same key is made once; shown when you give none.")]
TIME_HELP: Final = "Such as 2026-12-25T14:00Z, or how long ago: 90m, 12h, 7d."
QuarantineName = Annotated[UUID, typer.Argument(metavar="ID", help="As `quarantine list` shows it.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most, up to 1000; 100 unless you say.")]
ParkedName = Annotated[str, typer.Argument(metavar="ID", help="As `parked list` shows it, or PROVIDER:ID.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

app = typer.Typer(
    name="payment-service",
    help="Takes money for orders, and tells the rest of the store what became of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.callback()(version.tell)
topics = typer.Typer(name="topics", help="Topics of Kafka.", no_args_is_help=True)
keys = typer.Typer(name="keys", help="Keys of the API.", no_args_is_help=True)
bank = typer.Typer(name="bank", help="Payments by bank transfer.", no_args_is_help=True)
parked = typer.Typer(name="parked", help="What waits for a person.", no_args_is_help=True)
outbox = typer.Typer(name="outbox", help="Records on their way to Kafka.", no_args_is_help=True)
quarantine = typer.Typer(name="quarantine", help="What could not be accepted.", no_args_is_help=True)
for _group in (topics, keys, bank, parked, outbox, quarantine):
    app.add_typer(_group, name=_group.info.name)


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
def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL and change nothing.")] = False,
    roles: Annotated[
        bool,
        typer.Option("--roles", help="Print SQL that makes the roles of owner, service and reader; change nothing."),
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over the model's tables, as docs/upgrading.md says.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --adopt: say what would become of them.")] = False,
) -> None:
    """Bring the database to the schema of this version, and make its partitions. Needs DB_DSN alone, as the owner."""
    from payment_service.db import migrate as migration
    from payment_service.db.rights import Roles

    if (sql and adopt) or (dry_run and not adopt):
        raise ConfigError("--sql stands alone, and --dry-run goes with --adopt.")
    if roles:
        typer.echo(Roles(RoleSettings.from_environment().db_role_prefix).script())
        return
    if sql:
        typer.echo(migration.migration_sql())
        return
    settings = DatabaseSettings.from_environment()
    dsn, owned = settings.db_dsn.get_secret_value(), Roles(settings.db_role_prefix)
    if adopt:
        from payment_service.db import adopt as adoption

        adoption.adopt(dsn, roles=owned, dry_run=dry_run, report=typer.echo)
    else:
        migration.migrate(dsn, roles=owned, report=typer.echo)


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
    from payment_service.commands import keys as code

    typer.echo(code.create(client, [str(name) for name in scope]))


@keys.command("list")
def list_keys(
    client: Annotated[str, typer.Option(help="Of this client alone.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Those that are revoked too.")] = False,
    as_json: Json = False,
) -> None:
    """List keys of the API, never what opens them. Needs DB_DSN alone."""
    from payment_service.commands import keys as code

    code.show_list(client, revoked=all_, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[UUID | None, typer.Argument(help="The key's id, as `keys list` shows it.")] = None,
    client: Annotated[str, typer.Option(help="All keys of this client instead.")] = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Revoke a key, or all keys of a client. Needs DB_DSN alone."""
    from payment_service.commands import keys as code

    code.revoke(key_id, client, key, as_json=as_json)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show everything that is known of a payment, or of an order's payments. Needs DB_DSN alone."""
    from payment_service.commands import show as code

    code.show(name, as_json=as_json)


@app.command()
def refund(
    name: Name,
    amount: Amount = None,
    reason: Reason = "",
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Kept; repeatable.")] = None,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Refund a payment: all that is left, or an amount. The same command again is the same refund; another needs a --key."""
    from payment_service.commands import payments as code

    code.refund(name, amount, reason, metadata or [], key, yes=yes, as_json=as_json)


@app.command()
def capture(name: Name, amount: Amount = None, key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Capture what is held, all or an amount; the rest is released."""
    from payment_service.commands import payments as code

    code.capture(name, amount, key, yes=yes, as_json=as_json)


@app.command()
def cancel(name: Name, reason: Reason = "", key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Cancel a payment that is not paid; what is held is released."""
    from payment_service.commands import payments as code

    code.cancel(name, reason, key, yes=yes, as_json=as_json)


@bank.command("import")
def import_statement(
    file: Annotated[str, typer.Argument(help="The statement as CSV; - is standard input.")], as_json: Json = False
) -> None:
    """Take the transfers of a bank statement; importing one twice changes nothing. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.commands import bank as code

    taken = code.import_statement(file, as_json=as_json)
    raise typer.Exit(exit_codes.DONE if taken else exit_codes.FAILED)


@bank.command("confirm")
def confirm_transfer(
    name: Annotated[str, typer.Argument(metavar="ORDER|PAYMENT|REFERENCE", help="What was paid.")],
    transaction: Annotated[str, typer.Option(help="The bank's name for the transfer; taken once.")],
    amount: Annotated[str, typer.Option(help="What came, a decimal; else what was asked for.")] = "",
    currency: Annotated[str, typer.Option(help="Its currency; else the payment's.")] = "",
    booked: Annotated[str, typer.Option(help="Day of booking, such as 2026-12-25; else today.")] = "",
    as_json: Json = False,
) -> None:
    """Say that the money for a payment has come. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.commands import bank as code

    taken = code.confirm(
        name, transaction=transaction, amount=amount, currency=currency, booked_on=booked, as_json=as_json
    )
    raise typer.Exit(exit_codes.DONE if taken else exit_codes.FAILED)


@bank.command("refund")
def end_refund(
    refund_id: Annotated[UUID, typer.Argument(help="The refund's id.")],
    made: Annotated[bool, typer.Option("--made", help="The money was transferred back.")] = False,
    failed: Annotated[str, typer.Option(help="It could not be, or came back: why, in a word.")] = "",
) -> None:
    """Say what became of a transfer back. Needs DB_DSN and BANK_TRANSFER_…."""
    from payment_service.commands import bank as code

    if made == bool(failed):
        raise ConfigError("Say one of the two: --made, or --failed WHY.")
    code.end_refund(refund_id, failure=failed)


@parked.command("list")
def list_parked(
    what: Annotated[str, typer.Option(help="operation, event, record or transfer; left out: all.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List what waits for a person. Needs DB_DSN alone."""
    from payment_service.commands import parked as code

    code.show_list(what, limit, as_json=as_json)


@parked.command("retry")
def retry_parked(name: ParkedName, key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Let it be tried again. Money never moves twice by it: what may have happened is looked for first."""
    from payment_service.commands import parked as code

    code.retry(name, key, yes=yes, as_json=as_json)


@parked.command("resolve")
def resolve_parked(
    name: ParkedName,
    note: Annotated[str, typer.Option(help="How you know it; kept with your name.")],
    happened: Annotated[
        str | None,
        typer.Option(metavar="ID", help="It happened: the provider's id of the refund, or else of the intent."),
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="It never happened, and won't.")] = False,
    close: Annotated[bool, typer.Option("--close", help="Of an event or a transfer: it needs nothing more.")] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End it by what you know to be true, if the provider shows the same. Needs STRIPE_SECRET_KEY too, but for --close."""
    from payment_service.commands import parked as code

    code.resolve(name, happened, note, key, never=never, close=close, yes=yes, as_json=as_json)


@outbox.command("status")
def outbox_status(as_json: Json = False) -> None:
    """Show how many records wait to be published, since when and why, and who publishes. Needs DB_DSN alone."""
    from payment_service.commands import outbox as code

    code.show_status(as_json=as_json)


@outbox.command("republish")
def republish(
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)],
    payment: Annotated[UUID | None, typer.Option(help="Of this payment alone.")] = None,
    topic: Annotated[str | None, typer.Option(help="Of this topic alone.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many it would be; change nothing.")] = False,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Publish again what was published since a time, under the same ce_id: consumers notice. Needs DB_DSN alone."""
    from payment_service.commands import outbox as code

    code.republish(since, payment, topic, key, dry_run=dry_run, as_json=as_json)


@quarantine.command("list")
def list_quarantine(
    reason: Annotated[str, typer.Option(help="Of this reason alone.")] = "",
    source: Annotated[str, typer.Option(help="kafka or webhook.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)] = "",
    limit: Limit = 100,
    all_: Annotated[bool, typer.Option("--all", help="Those too that were accepted in the end.")] = False,
    as_json: Json = False,
) -> None:
    """List what could not be accepted, the newest first. Needs DB_DSN alone."""
    from payment_service.commands import quarantine as code

    code.show_list(reason, source, since, limit, replayed=all_, as_json=as_json)


@quarantine.command("show")
def show_quarantined(name: QuarantineName, as_json: Json = False) -> None:
    """Show what one holds; card numbers are masked. Needs DB_DSN alone."""
    from payment_service.commands import quarantine as code

    code.show(name, as_json=as_json)


@quarantine.command("replay")
def replay(
    name: QuarantineName,
    any_age: Annotated[bool, typer.Option("--any-age", help="Even an order older than ORDER_MAX_AGE.")] = False,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Decide one again, as if it came now; accepted once. Needs all settings of the service: an order is taken by them."""
    from payment_service.commands import quarantine as code

    code.replay(name, key, any_age=any_age, yes=yes, as_json=as_json)


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
        sys.exit(_say(str(error), exit_codes.USAGE))
    except Exception as error:
        from payment_service.commands.failures import explain

        if (explained := explain(error)) is None:
            raise
        sys.exit(_say(*explained))


def _say(sentence: str, code: int) -> int:
    from payment_service.telemetry.logs import mask

    sys.stderr.write(f"payment-service: {mask(' '.join(sentence.split()))}\n")
    return code


def _dsn() -> str:
    return DatabaseSettings.from_environment().db_dsn.get_secret_value()
