"""Start the servers, the Stripe sandbox and the service, in this order; stop them in reverse."""

from __future__ import annotations

import http.client
import os
import secrets
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

from payment_service.config.config import Config
from payment_service.config.pages import PAGE_ROLES
from payment_service_demo.embedded.broker import EmbeddedBroker
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from payment_service_demo.embedded.process import ChildProcess, free_port, listens

COMMAND: Final = (sys.executable, "-m", "payment_service")
# The pages are off by default, so they have no default port.
ADMIN_PORT: Final = 8083
STRIPE_KEY: Final = "sk_test_demo"
STRIPE_PUBLISHABLE_KEY: Final = "pk_test_demo"
# A command takes about a second; a machine that is starting up for the first time gets a minute.
COMMAND_TIMEOUT_S: Final = 60
READY_TIMEOUT_S: Final = 60
SERVICE_GRACE_S: Final = 5
REQUEST_TIMEOUT_S: Final = 2
# Variables that programs need and that are no settings of the service: settings of your shell must not leak in.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
_NOT_SETTINGS: Final = (*_KEPT, "PYTHONUNBUFFERED")


class DemoError(Exception):
    """The demo cannot continue; the message says why."""


class Progress(Protocol):
    """The output for progress."""

    def print_line(self, text: str) -> None:
        """Print a line."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The running parts. `env` holds the environment variables of the service."""

    env: Mapping[str, str]
    sandbox_url: str
    api_key: str
    service: ChildProcess

    @property
    def service_url(self) -> str:
        """The address of webhooks and the API."""
        return f"http://127.0.0.1:{self.env['SERVICE_PORT']}"

    def pages_link(self) -> str:
        """Print a one-time link into the operators' pages, with all roles. Raises DemoError."""
        roles = (word for role in PAGE_ROLES for word in ("--role", role))
        return _run(self.env, "pages", "login", "--person", "demo", *roles).strip()

    @property
    def metrics_url(self) -> str:
        """The address of metrics, health and API documentation."""
        return f"http://127.0.0.1:{self.env['METRICS_PORT']}"


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers around a service. `env` holds the environment variables of the service, `folder` the logs."""

    env: Mapping[str, str]
    folder: Path

    def write_settings(self, file: Path) -> None:
        """Write the settings of the service to a new file that a shell can source. It contains secrets."""
        settings = {name: value for name, value in self.env.items() if name not in _NOT_SETTINGS}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()]
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text("".join(lines))


def start_servers(stack: ExitStack, progress: Progress) -> Servers:
    """Start PostgreSQL, a broker and the sandbox; `stack` stops them. Raises DemoError or EmbeddedError."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="payment-service-demo-")))
    with _timed(progress, "PostgreSQL, from a wheel"):
        postgres = stack.enter_context(EmbeddedPostgres())
    with _timed(progress, "a Kafka broker, from a wheel"):
        broker = stack.enter_context(EmbeddedBroker())
    env = _environment(postgres.dsn, broker.bootstrap_servers, sandbox_port=free_port())
    with _timed(progress, "the Stripe sandbox"):
        _start_sandbox(stack, env, folder)
    return Servers(env, folder)


def start_environment(stack: ExitStack, progress: Progress, roles: str) -> Environment:
    """Start everything; `stack` stops it. Raises DemoError or EmbeddedError."""
    servers = start_servers(stack, progress)
    env, folder = servers.env, servers.folder
    with _timed(progress, "payment-service migrate"):
        _run(env, "migrate")
    with _timed(progress, "payment-service topics create"):
        _run(env, "topics", "create")
    scopes = ("--scope", "read", "--scope", "checkout", "--scope", "refund")
    with _timed(progress, f"payment-service keys create --client demo {' '.join(scopes)}"):
        api_key = _run(env, "keys", "create", "--client", "demo", *scopes).strip()
    with _timed(progress, f"payment-service serve{f' --only {roles}' if roles else ''}"):
        service = _start_service(stack, env, folder, roles)
    return Environment(env=env, sandbox_url=env["STRIPE_API_BASE"], api_key=api_key, service=service)


def _environment(dsn: str, brokers: str, *, sandbox_port: int) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        "DB_DSN": dsn,
        "KAFKA_BROKERS": brokers,
        "STRIPE_SECRET_KEY": STRIPE_KEY,
        "STRIPE_PUBLISHABLE_KEY": STRIPE_PUBLISHABLE_KEY,
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(16)}",
        "STRIPE_API_BASE": f"http://127.0.0.1:{sandbox_port}",
        "SERVICE_HOST": "127.0.0.1",
        "SERVICE_PORT": _port("SERVICE_PORT"),
        "METRICS_PORT": _port("METRICS_PORT"),
        "ADMIN_PORT": _port("ADMIN_PORT"),
        "SHUTDOWN_GRACE_S": str(SERVICE_GRACE_S),
        "DEPLOYMENT": "demo",
        # For the page of bank transfers. The sample orders pay at Stripe. The number is the usual example of an IBAN.
        "PROVIDERS": "stripe,bank_transfer",
        "BANK_TRANSFER_IBAN": "DE89370400440532013000",
        "BANK_TRANSFER_HOLDER": "The sample shop",
        "PAYMENT_SERVICE_AS": "demo",
    }


def _port(name: str) -> str:
    """Return the port named by your environment, else the default port if it is free, else any free port."""
    if wanted := os.environ.get(name):
        return wanted
    default: int = Config.model_fields[name.lower()].default or ADMIN_PORT
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", default))
        return str(default)
    return str(free_port())


def _start_sandbox(stack: ExitStack, env: Mapping[str, str], folder: Path) -> None:
    port = env["STRIPE_API_BASE"].rpartition(":")[2]
    webhook = f"http://127.0.0.1:{env['SERVICE_PORT']}/webhooks/stripe"
    arguments = ("--port", port, "--state", folder / "sandbox.state", "--webhook", webhook)
    secret = ("--webhook-secret", env["STRIPE_WEBHOOK_SECRET"])
    sandbox = ChildProcess([*COMMAND, "sandbox", *arguments, *secret], log=folder / "sandbox.log", env=env)
    stack.callback(sandbox.stop)
    sandbox.wait_until(lambda: listens(int(port)), timeout_s=READY_TIMEOUT_S, name="The Stripe sandbox")


def _start_service(stack: ExitStack, env: Mapping[str, str], folder: Path, roles: str) -> ChildProcess:
    arguments = ("--only", roles) if roles else ()
    service = ChildProcess([*COMMAND, "serve", *arguments], log=folder / "service.log", env=env)
    stack.callback(service.stop, grace_s=2 * SERVICE_GRACE_S)
    service.wait_until(lambda: _ready(int(env["METRICS_PORT"])), timeout_s=READY_TIMEOUT_S, name="The service")
    return service


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _run(env: Mapping[str, str], *arguments: str) -> str:
    """Run a command of the service to its end, and return its output."""
    try:
        result = subprocess.run(
            [*COMMAND, *arguments], env=env, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        message = f"`payment-service {' '.join(arguments)}` did not end within {COMMAND_TIMEOUT_S} s."
        raise DemoError(message) from None
    if result.returncode != 0:
        message = f"`payment-service {' '.join(arguments)}` ended with {result.returncode}: {result.stderr.strip()}"
        raise DemoError(message)
    return result.stdout


@contextmanager
def _timed(progress: Progress, what: str) -> Iterator[None]:
    progress.print_line(f"starting  {what}")
    since = time.monotonic()
    yield
    progress.print_line(f"done      {what}: {time.monotonic() - since:.1f} s")
