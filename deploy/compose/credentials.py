"""Make the database's password, once, in a folder that the database and the service read: nobody has to write or know it.

The job `credentials` of compose.yaml runs it before everything else. Files are readable by all, since their readers are users
of other images; nobody else has the folder.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Write `password` where there is none, and `dsn` from it."""
    password = folder / "password"
    if not password.exists():
        write(password, secrets.token_urlsafe(32))
    write(folder / "dsn", f"postgresql://payments:{password.read_text()}@postgres:5432/payments")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.chmod(0o444)
    draft.replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
