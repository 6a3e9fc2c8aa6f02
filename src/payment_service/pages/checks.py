"""The checks of `payment-service doctor` for the page Health: one run at a time, kept for some seconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from payment_service.contracts.findings import Finding, Verdict
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# A reload shows the last result, so that nobody can make the provider and the broker answer more often than four times a minute.
KEPT_S: Final = 15.0
# A page may take this long. Checks that take longer go on, and a reload shows them.
WAIT_S: Final = 3.0


class Checks:
    """The last result of all checks."""

    def __init__(self, examine: Callable[[], Awaitable[list[Finding]]]) -> None:
        self._examine = examine
        self._run: asyncio.Task[None] | None = None
        self._found: list[Finding] | None = None
        self._found_at_s = 0.0

    async def read(self) -> tuple[list[Finding] | None, int]:
        """Return the result and its age in seconds. None: the first run still lasts."""
        old = self._found is None or time.monotonic() - self._found_at_s >= KEPT_S
        if old and (self._run is None or self._run.done()):
            self._run = asyncio.create_task(self._refresh(), name="checks-of-health")
        if old and self._run is not None:
            ended, _ = await asyncio.wait({self._run}, timeout=WAIT_S)
            for run in ended:
                run.result()  # a defect shows the page that says so, and is logged
        return self._found, int(time.monotonic() - self._found_at_s)

    async def _refresh(self) -> None:
        try:
            found = await self._examine()
        except TRANSIENT_ERRORS as error:
            fix = "reload the page; if it stays, run `payment-service doctor`"
            found = [Finding(Verdict.FAILED, "database", f"the checks were interrupted: {describe_error(error)}", fix)]
        self._found, self._found_at_s = found, time.monotonic()
