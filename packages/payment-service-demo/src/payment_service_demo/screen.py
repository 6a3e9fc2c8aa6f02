"""The output of the demo: a line per event and, on a terminal, a live table of the orders below."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from payment_service_demo.environment import Environment
from payment_service_demo.sample_orders import Sample
from payment_service_demo.simulation import Progress

# Without a terminal, a line reports at this interval that the demo still waits.
STILL_HERE_INTERVAL_S: Final = 5
_COLORS: Final = {"succeeded": "green", "declined": "yellow", "failed": "red"}


class Screen:
    """The screen. Call it from one thread alone: that thread also starts child processes."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._samples = samples
        self._since = time.monotonic()
        self._live: Live | None = None
        self._printed_at = self._since

    @property
    def elapsed_s(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._since

    def print_line(self, text: str) -> None:
        """Print a line with the elapsed time."""
        self._printed_at = time.monotonic()
        self._console.print(Text(f"{self.elapsed_s:6.1f} s  {text}"))

    def print_error(self, text: str) -> None:
        """Print an error on standard error."""
        sys.stdout.flush()
        sys.stderr.write(f"payment-service demo: {text}\n")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table below the lines, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as self._live:
            yield
        self._live = None

    def refresh(self, rows: Sequence[Progress]) -> None:
        """Draw the table; without a terminal, print the orders still open at intervals."""
        if self._live is not None:
            self._live.update(self._table(rows), refresh=True)
            return
        waiting = [row.sample.order_id for row in rows if not row.finished]
        if waiting and time.monotonic() - self._printed_at > STILL_HERE_INTERVAL_S:
            self.print_line(f"waiting for {', '.join(waiting)}")

    def print_addresses(self, environment: Environment, shop_url: str) -> None:
        """Print the addresses of everything that runs; the last one is the page on which you can pay."""
        order = self._samples[0].order_id
        for line in (
            "",
            f"API documentation  {environment.metrics_url}/docs",
            f"Health             {environment.service_url}/health  {environment.service_url}/ready",
            f"Metrics            {environment.metrics_url}/metrics",
            f"API key            {environment.api_key}",
            f"Stripe sandbox     {environment.sandbox_url}  (key {environment.env['STRIPE_SECRET_KEY']})",
            f"Kafka              {environment.env['KAFKA_BROKERS']}",
            f"PostgreSQL         {environment.env['DB_DSN']}",
            "",
            f"curl -H 'Authorization: Bearer {environment.api_key}' '{environment.service_url}/v1/payments?order_id={order}'",
            "",
            "Send a signed webhook for the latest payment, from the folder of the project:",
            f"{_assignments(environment)} scripts/test-payment-webhook.sh --succeed",
            "",
            f"See it as support, finance and operations do (the link works once):  {environment.pages_link()}",
            "",
            f"Now buy something yourself, and pay or be declined:  {shop_url}",
            "",
            "It stays up; Ctrl-C ends it.",
        ):
            self._console.print(Text(line))

    def _table(self, rows: Sequence[Progress]) -> Table:
        finished = sum(row.finished for row in rows)
        table = Table(caption=f"{finished} of {len(rows)} finished, {self.elapsed_s:.0f} s", caption_justify="left")
        for name in ("Order", "To pay", "The customer", "Payment", "Published"):
            table.add_column(name, no_wrap=name != "The customer")
        for row in rows:
            status = row.status or ("quarantined" if row.published else "…")
            published = " → ".join(
                topic.removeprefix("payments.").removeprefix("orders.created.") for topic in row.topics
            )
            table.add_row(
                row.sample.order_id,
                f"{row.sample.total} {row.sample.currency}",
                row.sample.story,
                Text(status, style=_COLORS.get(status, "")),
                published,
            )
        return table


def _assignments(environment: Environment) -> str:
    """Return the shell assignments with which a command reaches this service. The secrets end with the demo."""
    names = ("DB_DSN", "STRIPE_WEBHOOK_SECRET", "DEPLOYMENT", "SERVICE_PORT")
    return " ".join(f"{name}={shlex.quote(environment.env[name])}" for name in names)
