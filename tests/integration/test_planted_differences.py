"""Sixty differences of every kind among a thousand payments: all are found, none is invented, the certain ones are repaired.

`make test-planted` does the same with 1,000 among 100,000, in a process of its own, and measures its memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from payment_service.db import differences
from tests.support.harness import Harness, open_harness
from tests.support.planted.kinds import KINDS
from tests.support.planted.store import clean_rows, fill
from tests.support.reconcile import Result, reconciliation
from tests.support.sandbox import SandboxProcess

PAYMENTS = 1_000
DIFFERENCES = 60

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def stored_harness(database_dsn: str, tmp_path: Path) -> AsyncIterator[Harness]:
    """Open a harness whose sandbox keeps its state in a file."""
    sandbox = SandboxProcess(tmp_path)
    sandbox.start()
    try:
        async with open_harness(database_dsn, sandbox) as opened:
            yield opened
    finally:
        sandbox.clean_up()


@pytest.mark.invariant("I3")
@pytest.mark.invariant("I16")
async def test_sixty_differences_among_a_thousand_payments_are_found_and_none_is_invented(
    stored_harness: Harness,
) -> None:
    harness = stored_harness
    plan, templates = await fill(harness, PAYMENTS, DIFFERENCES)
    clean = await clean_rows(harness.flows.pool)
    expected = plan.expected(templates)
    assert len(expected) == DIFFERENCES >= len(KINDS) >= 18

    first = Result()
    await reconciliation(harness, first).run(plan.window)
    found = Counter((one.code, one.subject, one.repaired) for one in first.found)
    assert found == Counter({(*key, kind.repaired): 1 for key, kind in expected.items()})

    await harness.flows.run_calls()
    second = Result()
    await reconciliation(harness, second).run(plan.window)
    left = {key for key, kind in expected.items() if not kind.repaired}
    assert Counter(one.key for one in second.found) == Counter(left)
    stored = await differences.open_differences(harness.flows.pool, limit=DIFFERENCES)
    assert {(row["code"], row["subject"]) for row in stored} == left
    assert await clean_rows(harness.flows.pool) == clean
