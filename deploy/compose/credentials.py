"""Create the passwords of the database, once, in one folder per login.

The job `credentials` of compose.yaml runs this first, with the parent folder and the address of the database. Each folder is a
volume that only its readers mount. The files are world-readable because the readers are users of other images.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Final

# `admin` creates the roles of `payment-service migrate --roles`.
USERS: Final = {
    "admin": "postgres",
    "owner": "payments_owner",
    "service": "payments_service",
    "operator": "payments_operator",
    "reader": "payments_reader",
}


def main(folder: Path, place: str) -> None:
    """Write `password` if it is missing, and `dsn` from it."""
    for name, user in USERS.items():
        password = folder / name / "password"
        if not password.exists():
            write(password, secrets.token_urlsafe(32))
        write(folder / name / "dsn", f"postgresql://{user}:{password.read_text()}@{place}")


def write(path: Path, text: str) -> None:
    """Write a file atomically."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.chmod(0o444)
    draft.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
