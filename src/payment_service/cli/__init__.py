"""The command line. Each command calls a module of `commands/`; each group of commands has a module here.

Exit codes: 0 done, now or before; 1 failed or refused; 2 usage or configuration; 3 schema, topics or installation do not match; 4 not
found; 5 not now, retry shortly; 6 differences found.

Commands import the modules that they need, so that `migrate` does not load a Kafka client and `--help` loads almost
nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from payment_service import exit_codes
from payment_service.cli import approvals, attention, audit, installation, keys, lists, outbox, pages, topics, webhooks
from payment_service.cli.options import TIME_HELP, Amount, EnvFile, Json, Key, Name, Reason, Yes, changes
from payment_service.cli.provider_groups import provider_groups
from payment_service.commands.version import Version
from payment_service.config.config import ROLES, Config, ConfigError, DatabaseSettings, RoleSettings

app = typer.Typer(
    name="payment-service",
    help="Take payments for a store's orders and publish their outcome.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _group in (
    *lists.groups,
    topics.group,
    keys.group,
    pages.group,
    installation.group,
    *provider_groups(),
    approvals.group,
    attention.group,
    audit.group,
    outbox.group,
    webhooks.group,
):
    app.add_typer(_group, name=_group.info.name)


@app.callback()
def options(*, asked: Version = False, env_file: EnvFile = None) -> None:
    """Define the options before the command."""


@app.command()
def serve(
    only: Annotated[
        str, typer.Option(help="Roles to run, comma-separated: intake, dispatch, relay, http, reconcile, pages.")
    ] = ",".join(ROLES),
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="Processes that share SERVICE_PORT, one per core. Metrics: METRICS_PORT and the ports after it.",
        ),
    ] = 1,
    env_file: EnvFile = None,  # noqa: ARG001 - its callback has read it
) -> None:
    """Run the service: all roles in one process, or some, or several such processes."""
    roles = [role.strip() for role in only.split(",") if role.strip()]
    if not roles or not set(roles) <= set(ROLES):
        raise ConfigError(f"--only takes {', '.join(ROLES)}, comma-separated; not {only!r}.")
    config = Config.from_environment()
    if roles == ["pages"] and config.admin_port is None:
        raise ConfigError("ADMIN_PORT is not set: the role pages needs it.")
    from payment_service import serving
    from payment_service.telemetry.logs import configure_logs

    configure_logs(config.log_level)
    raise typer.Exit(serving.serve(config, roles, workers))


@app.command()
def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL and change nothing.")] = False,
    roles: Annotated[
        bool,
        typer.Option(
            "--roles", help="Print the SQL that creates the roles of owner, service and reader; change nothing."
        ),
    ] = False,
) -> None:
    """Migrate the database to this version's schema and create its partitions. Needs only DB_DSN, as the owner."""
    from payment_service.db import migrate as migration
    from payment_service.db.rights import Roles

    if roles:
        typer.echo(Roles(RoleSettings.from_environment().db_role_prefix).script())
        return
    if sql:
        typer.echo(migration.migration_sql())
        return
    settings = DatabaseSettings.from_environment()
    migration.migrate(_usable_dsn(settings), roles=Roles(settings.db_role_prefix), report=typer.echo)


@app.command()
def maintain() -> None:
    """Create missing partitions and delete rows past retention. Run it daily, as the owner. Needs only DB_DSN."""
    from payment_service.db import maintain as maintenance

    maintenance.maintain(_usable_dsn(DatabaseSettings.from_environment()), report=typer.echo)


@app.command()
@changes
def recover(
    to: Annotated[str, typer.Option("--to", metavar="TIME", help=f"The time of the backup. {TIME_HELP}")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a restored backup up to date with the provider and the topics, before `serve`. Needs all settings of the
    service.
    """
    from payment_service.commands import recover as code

    raise typer.Exit(code.recover(to, dry_run=dry_run, as_json=as_json))


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show all data of a payment, or of an order's payments. Needs only DB_DSN."""
    from payment_service.commands import show as code

    code.show(name, as_json=as_json)


@app.command()
def search(
    text: Annotated[
        str,
        typer.Argument(
            help="An order, a payment, an id of the provider (pi_…, ch_…, re_…, du_…, evt_…), a refund, a bank reference, a "
            "user, or the last four digits of a card and the amount: '4242 19.90'."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Find payments. Needs only DB_DSN."""
    from payment_service.commands import lists as code

    code.search(text, as_json=as_json)


@app.command("open")
def open_page(
    name: Name, browser: Annotated[bool, typer.Option("--browser", help="Also open it in a browser.")] = False
) -> None:
    """Print the address of the provider's page about a payment. Needs only DB_DSN."""
    from payment_service.commands import show as code

    code.open_page(name, browser=browser)


@app.command()
@changes
def refund(
    name: Name,
    amount: Amount = None,
    reason: Reason = "",
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Stored with the refund; repeatable.")
    ] = None,
    key: Key = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Refund a payment, fully or partly. Repeating the command repeats the same refund; a second refund needs its own
    --key.
    """
    from payment_service.commands import payments as code

    code.refund(name, amount, reason, metadata or [], key, yes=yes, as_json=as_json)


@app.command()
@changes
def capture(name: Name, amount: Amount = None, key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Capture an authorized payment, fully or partly. The rest is released."""
    from payment_service.commands import payments as code

    code.capture(name, amount, key, yes=yes, as_json=as_json)


@app.command()
@changes
def cancel(name: Name, reason: Reason = "", key: Key = "", yes: Yes = False, as_json: Json = False) -> None:
    """Cancel an unpaid payment. An authorization is released."""
    from payment_service.commands import payments as code

    code.cancel(name, reason, key, yes=yes, as_json=as_json)


@app.command()
@changes
def reconcile(
    since: Annotated[str, typer.Option(metavar="TIME", help=TIME_HELP)],
    until: Annotated[str, typer.Option(metavar="TIME", help="The end of the window; default: now.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare and report; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the provider's objects and events with the database, repair what is certain, and report the rest.

    Exits 6 if a difference is open. An interrupted reconciliation is finished first.
    """
    from payment_service.commands import reconcile as code

    raise typer.Exit(code.reconcile(since, until, dry_run=dry_run, as_json=as_json))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def sandbox(context: typer.Context) -> None:
    """Run the Stripe emulator: --port N --state FILE --webhook URL --webhook-secret S (same as `stripe-sandbox`)."""
    try:
        from stripe_sandbox.cli import main as run
    except ModuleNotFoundError as error:
        raise _not_installed(error, "The Stripe sandbox", "stripe-sandbox") from None
    sys.argv = ["payment-service sandbox", *context.args]
    run()


@app.command()
def doctor() -> None:
    """Check every dependency of the service, one line each, with the fix."""
    from payment_service.doctor.checks import run_checks

    raise typer.Exit(run_checks(Config.from_environment()))


@app.command()
def verify(
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help=f"Only payments that changed and records written since then. {TIME_HELP}"),
    ] = "",
    topics_too: Annotated[
        bool, typer.Option("--topics", help="Also compare the outbox with its records on Kafka. Needs KAFKA_BROKERS.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare our rows with each other, and published records with the outbox. It changes nothing. Needs only DB_DSN."""
    from payment_service.commands import verify as code

    raise typer.Exit(code.verify(since, topics=topics_too, as_json=as_json))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit when the sample orders are finished.")] = False,
    servers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Start only PostgreSQL, the broker and the Stripe emulator, for a service that you start. FILE gets its settings.",
        ),
    ] = None,
    serve_only: Annotated[str, typer.Option(hidden=True)] = "",
    patience_s: Annotated[float, typer.Option(hidden=True)] = 60,
) -> None:
    """Show orders, payments and events live, with an embedded PostgreSQL, an embedded broker and the Stripe emulator."""
    try:
        from payment_service_demo import lend_servers, show
    except ModuleNotFoundError as error:
        raise _not_installed(error, "The demo", "payment-service[demo]") from None
    if servers is not None:
        raise typer.Exit(lend_servers(servers))
    raise typer.Exit(show(once=once, serve_only=serve_only, patience_s=patience_s))


def main() -> None:
    """Run the command in the arguments. Print expected failures as one line on standard error."""
    from payment_service.telemetry.logs import configure_logs

    configure_logs("warning", sys.stderr)
    try:
        typer.main.get_command(app)()  # not app(): that installs its own traceback hook, which bypasses the mask
    except ConfigError as error:
        sys.exit(_print_error(str(error), exit_codes.USAGE))
    except Exception as error:
        from payment_service.commands.errors import explain

        if (explained := explain(error)) is None:
            raise
        sys.exit(_print_error(*explained))


def _print_error(sentence: str, code: int) -> int:
    from payment_service.telemetry.logs import mask

    sys.stderr.write(f"payment-service: {mask(' '.join(sentence.split()))}\n")
    return code


def _not_installed(error: ModuleNotFoundError, name: str, requirement: str) -> Exception:
    """Tell a package of the extra `demo` that is absent from a fault inside it."""
    if error.name in {"payment_service_demo", "stripe_sandbox"}:
        return ConfigError(f"{name} is not installed: pip install '{requirement}'.")
    return error


def _usable_dsn(settings: DatabaseSettings) -> str:
    from payment_service.db.owner import require_usable_database

    dsn = settings.db_dsn.get_secret_value()
    require_usable_database(dsn)
    return dsn
