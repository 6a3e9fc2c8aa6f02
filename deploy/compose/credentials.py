"""Make the passwords of the database, once, a folder for each who logs in: nobody has to write or know them.

The job `credentials` of compose.yaml runs it before everything else, with the folder that holds these folders and the place of
the database. Each is a volume that only its own readers have; files are readable by all, since those are users of other images.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Final

# `admin` makes the roles; they are those of `payment-service migrate --roles`.
USERS: Final = {
    "admin": "postgres",
    "owner": "payments_owner",
    "service": "payments_service",
    "reader": "payments_reader",
}


def main(folder: Path, place: str) -> None:
    """Write `password` where there is none, and `dsn` from it."""
    for name, user in USERS.items():
        password = folder / name / "password"
        if not password.exists():
            write(password, secrets.token_urlsafe(32))
        write(folder / name / "dsn", f"postgresql://{user}:{password.read_text()}@{place}")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.chmod(0o444)
    draft.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
