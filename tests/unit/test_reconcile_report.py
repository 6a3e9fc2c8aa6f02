"""The report of `reconcile`: bounded in memory, and exact in its numbers."""

from __future__ import annotations

from dataclasses import replace

from payment_service.commands.reconcile import SHOWN_MAX, Found
from payment_service.domain.differences import Difference, Sides


def test_a_report_lists_the_first_differences_and_counts_all() -> None:
    found = Found(as_json=True, dry_run=False)
    one = Difference(sides=Sides.PROVIDER, code="amount_differs", subject="", payment_id=None, detail="")
    for number in range(SHOWN_MAX + 2):
        found.add(replace(one, subject=f"pi_{number}", repaired=number == 1))
    assert [one.subject for one in found.first[:2]] == ["pi_0", "pi_1"]
    assert (len(found.first), found.count, found.repaired) == (SHOWN_MAX, SHOWN_MAX + 2, 1)
