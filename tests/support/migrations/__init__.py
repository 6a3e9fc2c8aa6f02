"""An example of a later migration, in the two kinds that an online migration has: what is quick, and what takes long.

The suite has no second release to migrate from, so these two revisions stand for it: `with_example` makes `migrate` apply
them after the revisions of the service.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from payment_service.db import migrate as migration

FOLDER: Final = Path(__file__).parent
# The schema before the example, after its first revision (a table, a column), and after its second (an index).
BEFORE: Final = "1"
QUICK: Final = "2"
AFTER: Final = "3"


def with_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `migrate` find the revisions of this folder after those of the service."""
    monkeypatch.setattr(migration, "VERSIONS", (*migration.VERSIONS, FOLDER / "versions"))
