"""What a person sees: lines as things happen and, on a terminal, a table of the orders that changes under them."""

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

from payment_service_demo.sample_orders import Sample
from payment_service_demo.stage import Stage
from payment_service_demo.store import Progress

# Without a terminal, a line tells that it still waits.
STILL_HERE_INTERVAL_S: Final = 5
_COLOURS: Final = {"succeeded": "green", "declined": "yellow", "failed": "red"}


class Screen:
    """Draws from the one thread that calls it: children are started from this thread, and it is no good to fork two."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._samples = samples
        self._since = time.monotonic()
        self._live: Live | None = None
        self._spoke_at = self._since

    @property
    def elapsed_s(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._since

    def say(self, text: str) -> None:
        """Show a line."""
        self._spoke_at = time.monotonic()
        self._console.print(Text(f"{self.elapsed_s:6.1f} s  {text}"))

    def complain(self, text: str) -> None:
        """Show what went wrong, on standard error."""
        sys.stdout.flush()
        sys.stderr.write(f"payment-service demo: {text}\n")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep the table under the lines, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as self._live:
            yield
        self._live = None

    def refresh(self, rows: Sequence[Progress]) -> None:
        """Draw the table; without a terminal, say now and then what is waited for."""
        if self._live is not None:
            self._live.update(self._table(rows), refresh=True)
            return
        waiting = [row.sample.order_id for row in rows if not row.settled]
        if waiting and time.monotonic() - self._spoke_at > STILL_HERE_INTERVAL_S:
            self.say(f"waiting for {', '.join(waiting)}")

    def say_where(self, stage: Stage, shop_url: str) -> None:
        """Tell where everything is while it runs, and at the end where a person can pay."""
        order = self._samples[0].order_id
        for line in (
            "",
            f"API documentation  {stage.metrics_url}/docs",
            f"Health             {stage.service_url}/health  {stage.service_url}/ready",
            f"Metrics            {stage.metrics_url}/metrics",
            f"API key            {stage.api_key}",
            f"Stripe emulator    {stage.sandbox_url}  (key {stage.env['STRIPE_SECRET_KEY']})",
            f"Kafka              {stage.env['KAFKA_BROKERS']}",
            f"PostgreSQL         {stage.env['DB_DSN']}",
            "",
            f"curl -H 'Authorization: Bearer {stage.api_key}' '{stage.service_url}/v1/payments?order_id={order}'",
            "",
            "A signed webhook that says of the latest payment that it is paid, from the project's folder:",
            f"{_assignments(stage)} scripts/test-payment-webhook.sh --succeed",
            "",
            f"Now buy something yourself, and pay or be declined:  {shop_url}",
            "",
            "It stays up; Ctrl-C ends it.",
        ):
            self._console.print(Text(line))

    def _table(self, rows: Sequence[Progress]) -> Table:
        settled = sum(row.settled for row in rows)
        table = Table(caption=f"{settled} of {len(rows)} settled, {self.elapsed_s:.0f} s", caption_justify="left")
        for name in ("Order", "To pay", "The customer", "Payment", "Announced"):
            table.add_column(name, no_wrap=name != "The customer")
        for row in rows:
            status = row.status or ("quarantined" if row.announced else "…")
            announced = " → ".join(
                topic.removeprefix("payments.").removeprefix("orders.created.") for topic in row.topics
            )
            table.add_row(
                row.sample.order_id,
                f"{row.sample.total} {row.sample.currency}",
                row.sample.story,
                Text(status, style=_COLOURS.get(status, "")),
                announced,
            )
        return table


def _assignments(stage: Stage) -> str:
    """What a command of the shell needs before it to talk to this service. The secrets end with the demo."""
    names = ("DB_DSN", "STRIPE_WEBHOOK_SECRET", "DEPLOYMENT", "SERVICE_PORT")
    return " ".join(f"{name}={shlex.quote(stage.env[name])}" for name in names)
