"""The command `stripe-sandbox`."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from stripe_sandbox.errors import ApiError
from stripe_sandbox.faults.matching import operation_name
from stripe_sandbox.faults.plan_file import read_plan
from stripe_sandbox.faults.rules import PlanError
from stripe_sandbox.routes import OPERATIONS
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.server import run
from stripe_sandbox.state.journal import StateError


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 12111,
    state: Annotated[Path | None, typer.Option(help="State file; without it, state is kept in memory only.")] = None,
    webhook: Annotated[str | None, typer.Option(help="URL that receives the events.")] = None,
    webhook_secret: Annotated[str | None, typer.Option(help="Secret that signs the webhooks, whsec_….")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="API key to accept, repeatable; without it, every sk_test_… and pk_test_… key."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name by which clients may call it, besides localhost and addresses; repeatable."),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(help="JSON file with a fault plan, in the format of POST /sandbox/faults."),
    ] = None,
) -> None:
    """Run a local Stripe API that works offline."""
    if (webhook is None) != (webhook_secret is None):
        raise typer.BadParameter("--webhook and --webhook-secret must be given together.")
    sandbox = Sandbox(state, key or [])
    sandbox.faults.operations = frozenset(operation_name(row.method, row.path) for row in OPERATIONS)
    try:
        if faults is not None:
            sandbox.faults.set(read_plan(faults))
        sandbox.load()
        if webhook is not None and webhook_secret is not None:
            sandbox.set_endpoint(webhook, webhook_secret, ["*"])
        uvloop.run(run(sandbox, host, port, lambda bound: _print_ready(host, bound), allowed_host or ()))
    except OSError as error:
        taken = f"port {port} on {host} is in use. Choose another with --port, or 0 for a free one."
        raise _exit_with(taken if error.errno == errno.EADDRINUSE else _file_error(error)) from None
    except (StateError, PlanError, ApiError) as error:
        raise _exit_with(str(error)) from None


def main() -> None:
    typer.run(serve)


def _exit_with(reason: str) -> typer.Exit:
    typer.echo(f"stripe-sandbox: {reason}", err=True)
    return typer.Exit(1)


def _file_error(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}. Choose another file." if error.filename else str(error)


def _print_ready(host: str, port: int) -> None:
    typer.echo(f"sandbox ready on http://{host}:{port}")
