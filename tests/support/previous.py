"""The release before this one, from the history of this repository, as processes of its own on the same pinned packages."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
# The last commit whose schema was revision 1: what was landed of orders, webhooks and announcements.
COMMIT: Final = "7ef4ddbf6848738d6941ac5afd2b2155b96a9013"


def unpack(folder: Path) -> dict[str, str]:
    """Put its source into a folder; give the environment in which `payment-service` is that one. Skips without the history."""
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", COMMIT, "src/payment_service"], capture_output=True, check=False
    )
    if archive.returncode != 0:
        pytest.skip(f"the history of the repository does not hold {COMMIT[:7]} (a shallow clone, or no clone at all)")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return {"PYTHONPATH": str(folder / "src")}
