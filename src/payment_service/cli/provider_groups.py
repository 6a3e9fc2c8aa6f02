"""Groups of commands that providers bring.

They have an entry point of their own, so that `--help` and `migrate` load no provider and no client library.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Final

import typer

GROUP: Final = "payment_service.commands"


def provider_groups() -> list[typer.Typer]:
    """Load the groups of all installed packages. Report one that cannot be loaded, and leave it out."""
    groups: list[typer.Typer] = []
    for found in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            group = found.load()
        except Exception as error:  # noqa: BLE001 - a package with a defect must not stop the other commands
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            sys.stderr.write(f"payment-service: The commands of {found.value} cannot be loaded: {reason}.\n")
            continue
        group.info.name = found.name
        groups.append(group)
    return groups
